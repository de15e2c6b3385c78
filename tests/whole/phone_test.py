#!/usr/bin/env python3
"""phone_test.py BUILD [CASE...]: sluicephone, directly and through us.

Goal: two phones hear, sample by sample, what the other one plays; digits, hold,
refusals, interrupts and wrong passwords come out as exit status and JSON say,
with nothing between the phones and with sluiced between them.
Method: phones as processes of their own; octets that are like no others are
played, and looked for whole in what was recorded."""

import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import phone_world  # noqa: E402
import sip_phones  # noqa: E402
from phone_world import Phone, pitch_hz, result_of  # noqa: E402
from sip_phones import PASSWORDS, free_port, wait_for  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
VERBS = ("register", "call", "answer", "echo")
DIGITS = "159*0#D"


class DirectTest(phone_world.Case):
    def answering(self, *words, verb: str = "answer", transport: str = "udp",
                  address: str = "127.0.0.1") -> tuple[Phone, str]:
        phone = self.phone(verb, "--leg", self.leg(transport, address),
                           "--count", 1, *words)
        return phone, f"sip:bob@{phone.at(transport)}" + (
            "" if transport == "udp" else f";transport={transport}")

    def calling(self, whom: str, *words, transport: str = "udp",
                address: str = "127.0.0.1") -> Phone:
        return self.phone("call", whom, "--leg", self.leg(transport, address),
                          *words)

    def both_ways(self, *how, transport: str = "udp",
                  address: str = "127.0.0.1", answer: tuple = ()) -> None:
        played = self.sound()
        bob, where = self.answering(
            "--play", "play.wav", "--repeat", 0, "--record", "bob.wav", *answer,
            transport=transport, address=address)
        alice = self.calling(where, "--play", "play.wav", "--record",
                             "alice.wav", "--repeat", 2, *how,
                             transport=transport, address=address)
        for call in alice.call(), bob.call():
            self.no_loss(call)
            self.assertEqual(call["codec"], "PCMU")
            self.assertTrue(call["established"])
            self.assertEqual(call["state"], "ended")
            self.assertEqual(call["code"], 200)
            self.assertGreater(call["duration_s"], 0)
        self.heard_all(2 * played, "bob.wav")
        self.heard_all(played, "alice.wav")

    def test_each_hears_the_other_sample_by_sample(self):
        self.both_ways()

    def test_each_hears_the_other_over_tcp(self):
        self.both_ways(transport="tcp")

    def test_each_hears_the_other_over_ipv6(self):
        self.both_ways(address="::1")

    def test_each_hears_the_other_with_the_offer_in_the_200(self):
        self.both_ways("--delayed-offer")

    def test_each_hears_the_other_after_ringing(self):
        self.both_ways(answer=("--ring", 0.3))

    def test_each_hears_the_other_in_long_packets(self):
        self.both_ways("--ptime", 60, answer=("--ptime", 40))

    def test_speaks_what_both_can(self):
        bob, where = self.answering("--codec", "pcma", "--tone", 1000)
        alice = self.calling(where, "--codec", "pcmu,pcma", "--tone", 440,
                             "--record", "alice.wav", "--duration", 1)
        for call in alice.call(), bob.call():
            self.assertEqual(call["codec"], "PCMA")
            self.no_loss(call)
        self.assertAlmostEqual(pitch_hz(self.folder / "alice.wav"), 1000,
                               delta=phone_world.HZ_TOLERANCE)

    def test_refuses_what_they_cannot_both(self):
        bob, where = self.answering("--codec", "pcma")
        call = self.calling(where, "--codec", "pcmu").call(1)
        self.assertEqual(call["code"], 488)
        self.assertFalse(call["established"])
        bob.interrupt()
        bob.result()

    def test_echoes(self):
        played = self.sound()
        bob, where = self.answering("--record", "bob.pcmu", verb="echo")
        alice = self.calling(where, "--play", "play.pcmu", "--record",
                             "alice.pcmu")
        self.no_loss(alice.call())
        self.no_loss(bob.call())
        self.heard_all(played, "bob.pcmu")
        self.heard_all(played, "alice.pcmu")

    def digits(self, method: str) -> None:
        bob, where = self.answering("--dtmf", "42", "--dtmf-method", method)
        alice = self.calling(where, "--dtmf", DIGITS, "--dtmf-method", method)
        heard = alice.call()["dtmf"], bob.call()["dtmf"]
        for digits, expected in zip(heard, ("42", DIGITS)):
            self.assertEqual("".join(d["digit"] for d in digits), expected)
            self.assertEqual({d["method"] for d in digits}, {method})

    def test_dials_by_events(self):
        self.digits("rfc4733")

    def test_dials_by_tones(self):
        self.digits("inband")

    def test_holds_and_takes_back(self):
        played = self.sound()
        bob, where = self.answering("--record", "bob.wav")
        alice = self.calling(where, "--hold-after", 0.3, "--resume-after", 0.5,
                             "--play", "play.wav")
        alice.expect("on hold: 200")
        alice.expect("offered anew: 200")
        for call in alice.call(), bob.call():
            self.assertFalse(call["held"] or call["held_by_peer"], call)
            self.assertEqual(call["lost"], 0)
        # What was not played while it was held comes afterwards.
        heard = phone_world.read_wav(self.folder / "bob.wav")
        samples = phone_world.samples_of(played)
        self.assertIn(samples[:1600], heard)
        self.assertIn(samples[-1600:], heard)

    def test_tells_who_holds(self):
        bob, where = self.answering()
        alice = self.calling(where, "--hold-after", 0.2, "--duration", 1)
        self.assertTrue(alice.call()["held"])
        call = bob.call()
        self.assertTrue(call["held_by_peer"])
        self.assertEqual(call["ended_by"], "peer")

    def test_hangs_up_when_interrupted(self):
        bob, where = self.answering()
        alice = self.calling(where)
        alice.expect("established")
        bob.expect("established")
        alice.interrupt()
        self.assertEqual(alice.call()["ended_by"], "us")
        self.assertEqual(bob.call()["ended_by"], "peer")

    def test_hangs_up_when_the_called_one_is_interrupted(self):
        bob, where = self.answering()
        alice = self.calling(where)
        alice.expect("established")
        bob.expect("established")
        bob.process.send_signal(signal.SIGTERM)
        self.assertEqual(bob.call()["ended_by"], "us")
        self.assertEqual(alice.call()["ended_by"], "peer")

    def test_gives_up_when_interrupted_while_it_rings(self):
        bob, where = self.answering("--ring", 60)
        alice = self.calling(where)
        alice.expect("180")
        alice.interrupt()
        call = alice.call(1)
        self.assertEqual((call["code"], call["ended_by"]), (487, "us"))
        self.assertEqual(bob.call()["ended_by"], "peer")

    def test_gives_up_when_nobody_answers(self):
        bob, where = self.answering("--ring", 60)
        call = self.calling(where, "--ring", 0.5).call(5)
        self.assertFalse(call["established"])
        self.assertEqual(bob.call()["code"], 487)

    def test_tells_of_a_refusal(self):
        bob, where = self.answering("--refuse", 603)
        call = self.calling(where).call(1)
        self.assertEqual((call["code"], call["established"]), (603, False))
        self.assertIsNone(call["codec"])
        self.assertEqual(bob.call()["code"], 603)

    def test_is_busy_when_its_lines_are(self):
        bob = self.phone("answer", "--leg", self.leg(), "--lines", 1)
        where = f"sip:bob@{bob.at()}"
        alice = self.calling(where)
        alice.expect("established")
        self.assertEqual(self.calling(where).call(1)["code"], 486)
        alice.interrupt()
        alice.result()
        bob.expect("ended by peer")
        second = self.calling(where, "--duration", 0.2)
        self.assertEqual(second.call()["code"], 200)
        bob.interrupt()
        self.assertEqual([c["code"] for c in bob.result()["calls"]],
                         [200, 486, 200])

    def test_makes_many_calls_at_once(self):
        bob = self.phone("echo", "--leg", self.leg(), "--count", 20, "--record",
                         "bob-{}.pcmu")
        played = self.sound()
        alice = self.calling(f"sip:bob@{bob.at()}", "--count", 20, "--play",
                             "play.pcmu", "--record", "alice.pcmu")
        for phone in alice, bob:
            totals = phone.result()["totals"]
            self.assertEqual((totals["calls"], totals["established"]), (20, 20))
            self.assertEqual(totals["lost"], 0)
        for number in range(1, 21):
            self.heard_all(played, f"bob-{number}.pcmu")
        self.heard_all(played, "alice.pcmu")
        self.heard_all(played, "alice-20.pcmu")

    def test_makes_a_thousand_calls_with_a_core_for_each_phone(self):
        """With sound both ways; how much of it is lost is the machine's."""
        count = 1000
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            self.skipTest("two cores are needed")
        # Two a call, and what a process has besides.
        if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 2 * count + 100:
            self.skipTest("too few descriptors")
        bob = self.phone("echo", "--leg", self.leg(), "--count", count)
        where = f"sip:bob@{bob.at()}"
        alice = self.phone("call", where, "--leg", self.leg(), "--count", count,
                           "--tone", 440, "--duration", 5)
        for phone, core in (bob, cores[0]), (alice, cores[-1]):
            os.sched_setaffinity(phone.process.pid, {core})
        for phone in alice, bob:
            result = phone.result()
            self.assertEqual(result["totals"]["established"], count)
            self.assertTrue(all(c["received"] for c in result["calls"]))

    def test_ends_a_call_in_which_nobody_speaks(self):
        bob, where = self.answering("--silence", 0)
        alice = self.calling(where, "--silence", 1)
        alice.expect("established")
        bob.process.send_signal(signal.SIGSTOP)
        self.addCleanup(bob.process.send_signal, signal.SIGCONT)
        self.assertEqual(alice.call(5)["ended_by"], "silence")

    def test_tells_of_a_sound_that_is_none(self):
        (self.folder / "text.wav").write_text("no sound")
        bob, where = self.answering()
        alice = self.calling(where, "--play", "text.wav")
        self.assertIn("text.wav", alice.call(1)["error"])

    def test_shows_messages(self):
        bob, where = self.answering()
        alice = self.calling(where, "--trace", "--duration", 0.2)
        alice.expect("INVITE sip:bob@")
        alice.expect("SIP/2.0 200 OK")
        alice.expect("BYE sip:")
        alice.result()


class StatusTest(phone_world.Case):
    """What can be said at once."""

    def says(self, status: int, words: str, *arguments) -> None:
        done = result_of(self.build, *arguments)
        self.assertEqual(done.returncode, status, done)
        self.assertIn(words, done.stderr)

    def test_of_a_command_line_that_is_wrong(self):
        self.says(2, "subcommand", )
        self.says(2, "--tone", "call", "bob", "--tone", "x")
        self.says(2, "--dtmf", "call", "bob", "--leg", "udp:127.0.0.1:0",
                  "--dtmf", "12z")
        self.says(2, "--leg", "answer")
        self.says(2, "udp:nowhere:x", "answer", "--leg", "udp:nowhere:x")
        self.says(2, "", "call", "sip:@@@", "--leg", "udp:127.0.0.1:0")

    def test_of_an_address_that_is_taken(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as owner:
            owner.bind(("127.0.0.1", 0))
            self.says(3, "127.0.0.1", "answer", "--leg",
                      f"udp:127.0.0.1:{owner.getsockname()[1]}")

    def test_of_nobody_there(self):
        port = free_port("127.0.0.1")
        self.says(3, "503", "call", f"sip:bob@127.0.0.1:{port};transport=tcp",
                  "--leg", "tcp:127.0.0.1:0")
        self.says(3, "", "register", "--user", "a@b.example", "--registrar",
                  f"sip:127.0.0.1:{port};transport=tcp", "--leg",
                  "tcp:127.0.0.1:0")

    def test_help_says_that_passwords_are_seen(self):
        self.assertIn("SLUICEPHONE_PASSWORD", self.help("call"))

    def help(self, *verb: str) -> str:
        done = result_of(self.build, *verb, "--help")
        self.assertEqual(done.returncode, 0)
        return done.stdout

    def test_every_option_is_in_the_manual(self):
        manual = (ROOT / "dist/man/sluicephone.1").read_text().replace("\\", "")
        for verb in VERBS:
            options = re.findall(r"(?:^  |,)(--[a-z][a-z-]*)", self.help(verb),
                                 re.M)
            self.assertGreater(len(options), 10)
            for option in set(options) - {"--help"}:
                self.assertIn(option, manual, verb)

    def completed(self, *words: str) -> list[str]:
        """What bash offers for the last of these words."""
        script = """
source "$1"; shift
compopt() { :; }
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_sluicephone
printf '%s\\n' "${COMPREPLY[@]}"
"""
        done = subprocess.run(
            ["bash", "-c", script, "bash",
             ROOT / "dist/bash-completion/sluicephone",
             self.build / "tools/sluicephone", *words],
            capture_output=True, text=True, check=True)
        return done.stdout.split()

    def test_completes_verbs_options_and_values(self):
        self.assertEqual(self.completed(""), list(VERBS))
        self.assertEqual(self.completed("ca"), ["call"])
        self.assertEqual(self.completed("answer", "--ref"), ["--refuse"])
        self.assertEqual(self.completed("register", "--ref"), [])
        self.assertEqual(self.completed("call", "-o", "j"), ["json"])
        self.assertEqual(self.completed("call", "--dtmf-method", "i"),
                         ["inband"])


class ThroughUsTest(sip_phones.Case, phone_world.PhoneTests):
    def setUp(self):
        super().setUp()
        self.folder = self.daemon.folder

    def user(self, verb: str, user: str, leg: str, *words, whom: tuple = (),
             transport: str = "udp", password: str = "") -> Phone:
        word = self.folder / f"{user}.password"
        word.write_text((password or PASSWORDS[user]) + "\n")
        address = "::1" if leg.startswith("six") else "127.0.0.1"
        where = f"sip:{self.daemon.listener(leg)};transport={transport}"
        # Not the relay's.
        calls = ("--register", "--rtp-ports", "34000-44000")
        return self.phone(
            verb, *whom, *(() if verb == "register" else calls), "--user",
            f"{user}@example.com", "--password-file", word, "--proxy", where,
            "--leg", f"{transport}:" + sip_phones.with_port(address, 0), *words)

    def bob(self, leg: str, *words, verb: str = "answer", **how) -> Phone:
        phone = self.user(verb, "bob", leg, "--count", 1, *words, **how)
        phone.expect("registered for")
        return phone

    def alice(self, leg: str, *words, **how) -> Phone:
        return self.user("call", "alice", leg, *words,
                         whom=("bob@example.com",), **how)

    def both_ways(self, caller_leg: str, callee_leg: str, *how, **via) -> list:
        played = self.sound()
        bob = self.bob(callee_leg, "--play", "play.wav", "--repeat", 0,
                       "--record", "bob.wav", **via)
        alice = self.alice(caller_leg, "--play", "play.wav", "--record",
                           "alice.wav", "--repeat", 2, *how, **via)
        calls = [alice.call(), bob.call()]
        for call in calls:
            self.no_loss(call)
        self.heard_all(2 * played, "bob.wav")
        self.heard_all(played, "alice.wav")
        self.all_ports_back()
        return calls

    def went_through_us(self, calls: list) -> bool:
        ports = [int(call["remote"].rsplit(":", 1)[1]) for call in calls]
        return all(10000 <= port <= 32767 for port in ports)

    def test_each_hears_the_other_sample_by_sample(self):
        self.assertTrue(self.went_through_us(self.both_ways("outside",
                                                            "inside")))

    def test_each_hears_the_other_on_one_leg(self):
        self.assertFalse(self.went_through_us(self.both_ways("outside",
                                                             "outside")))

    def test_each_hears_the_other_over_tcp(self):
        self.assertTrue(self.went_through_us(
            self.both_ways("outside", "inside", transport="tcp")))

    def test_each_hears_the_other_from_ipv6_to_ipv4(self):
        self.assertTrue(self.went_through_us(self.both_ways("six", "inside")))

    def test_each_hears_the_other_with_the_offer_in_the_200(self):
        self.assertTrue(self.went_through_us(
            self.both_ways("outside", "inside", "--delayed-offer")))

    def test_dials_and_holds(self):
        bob = self.bob("inside", "--record", "bob.wav")
        alice = self.alice("outside", "--dtmf", DIGITS, "--hold-after", 0.2,
                           "--resume-after", 0.3)
        alice.expect("on hold: 200")
        alice.expect("offered anew: 200")
        alice.result()
        digits = bob.call()["dtmf"]
        self.assertEqual("".join(d["digit"] for d in digits), DIGITS)
        self.all_ports_back()

    def test_frees_the_ports_of_an_interrupted_call(self):
        bob = self.bob("inside")
        alice = self.alice("outside")
        alice.expect("established")
        wait_for(lambda: self.daemon.heard(25), "sound both ways")
        alice.interrupt()
        self.assertEqual(alice.call()["ended_by"], "us")
        self.assertEqual(bob.call()["ended_by"], "peer")
        self.all_ports_back()

    def test_frees_the_ports_of_a_call_that_was_given_up(self):
        bob = self.bob("inside", "--ring", 60)
        alice = self.alice("outside", "--ring", 0.5)
        self.assertFalse(alice.call(5)["established"])
        self.assertEqual(bob.call()["code"], 487)
        self.all_ports_back()

    def test_tells_of_a_refusal(self):
        bob = self.bob("inside", "--refuse", 486)
        self.assertEqual(self.alice("outside").call(1)["code"], 486)
        bob.result()
        self.all_ports_back()

    def test_tells_that_nobody_is_registered(self):
        self.assertIn(self.alice("outside").call(1)["code"], (404, 480))

    def registrations(self) -> list:
        return self.daemon.ask("registrations")["registrations"]

    def test_registers_and_takes_it_back(self):
        stays = self.user("register", "bob", "inside", "--stay", "--expires",
                          120)
        stays.expect("registered for 120 s")
        self.assertEqual([r["aor"] for r in self.registrations()],
                         ["sip:bob@example.com"])
        stays.interrupt()
        registration = stays.result()["registration"]
        self.assertTrue(registration["ok"] and registration["removed"])
        self.assertEqual(self.registrations(), [])

    def test_registers_once(self):
        once = self.user("register", "bob", "inside").result()["registration"]
        self.assertTrue(once["ok"])
        self.assertGreater(once["expires_s"], 0)
        self.assertFalse(once["removed"])
        self.assertEqual(len(self.registrations()), 1)

    def test_tells_of_a_wrong_password(self):
        failed = self.user("register", "bob", "inside", password="wrong")
        registration = failed.result(1)["registration"]
        self.assertFalse(registration["ok"])
        self.assertRegex(registration["error"], "40[137]")
        call = self.alice("outside", password="wrong")
        self.assertEqual(call.result(1)["calls"], [])


if __name__ == "__main__":
    sip_phones.main(__doc__)
