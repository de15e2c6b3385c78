#!/usr/bin/env python3
"""phone_peers_test.py BUILD [CASE...]: sluicephone and other people's programs.

Goal: sluicephone calls and is called by Perl's Net::SIP, baresip and sipp, and
registers with kamailio; sound arrives whole, digits are recognised, hold is
understood, by UDP and TCP.
Method: the others as processes of their own, directly or through a sluiced;
what they record is searched for what was played."""

import pathlib
import re
import shutil
import socket
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import baresip_test  # noqa: E402
import phone_world  # noqa: E402
import sip_phones  # noqa: E402
from phone_world import HERE, PACKET, Phone, pitch_hz  # noqa: E402
from sip_phones import (PASSWORDS, Program, free_port,  # noqa: E402
                        needs_perl, wait_for)

DIGITS = "159*0#"
PACKETS = 50  # a second of sound
QUIET_S = 0.3  # fifteen packets that did not come


@needs_perl
class PerlTest(phone_world.Case):
    """Directly; it plays and records raw PCMU."""

    def perl(self, role: str, *more) -> tuple[Program, str]:
        at = f"127.0.0.1:{free_port('127.0.0.1')}"
        agent = self.start("perl", HERE / "phone_agent.pl", role, at,
                           "play.pcmu", "perl.pcmu", *more, at_end=0)
        return agent, at

    def calls(self, transport: str = "udp", *words) -> dict:
        """We call it; both speak."""
        played = self.sound()
        perl, at = self.perl("callee")
        perl.expect("ready")
        ours = self.phone("call", f"sip:perl@{at};transport={transport}",
                          "--leg", self.leg(transport), "--play", "play.pcmu",
                          "--repeat", 2, "--record", "ours.pcmu", *words)
        perl.expect("established")
        call = ours.call()
        perl.expect("bye")
        perl.ended()
        self.no_loss(call)
        self.heard_all(2 * played, "perl.pcmu")
        self.heard_all(played, "ours.pcmu")
        return call

    def test_calls_it(self):
        self.assertEqual(self.calls()["codec"], "PCMU")

    def test_calls_it_over_tcp(self):
        self.calls("tcp")

    def answers(self, transport: str = "udp", *words,
                more: tuple = ()) -> dict:
        """It calls us; both speak."""
        played = self.sound()
        ours = self.phone("answer", "--leg", self.leg(transport), "--count", 1,
                          "--play", "play.pcmu", "--repeat", 0, "--record",
                          "ours.pcmu", *words)
        at = ours.at(transport)
        perl, _ = self.perl("caller", f"sip:bob@{at};transport={transport}",
                            *more)
        perl.expect("established")
        perl.expect("played")
        perl.expect("hung up")
        call = ours.call()
        self.assertEqual(call["ended_by"], "peer")
        self.no_loss(call)
        if not more:
            self.heard_all(played, "ours.pcmu")
        heard = (self.folder / "perl.pcmu").read_bytes()
        # It hears from its first look on, which may be in the middle.
        self.assertIn(heard[2 * PACKET:-2 * PACKET],
                      (played * 4))
        self.assertGreater(len(heard), len(played) // 2)
        return call

    def test_answers_it(self):
        self.answers()

    def test_answers_it_over_tcp(self):
        self.answers("tcp")

    def test_answers_it_after_ringing(self):
        self.answers("udp", "--ring", 0.3)

    def dialled(self, method: str, ours: str) -> None:
        call = self.answers(more=(DIGITS, method))
        self.assertEqual("".join(d["digit"] for d in call["dtmf"]), DIGITS)
        self.assertEqual({d["method"] for d in call["dtmf"]}, {ours})

    def test_hears_its_events(self):
        self.dialled("rfc2833", "rfc4733")

    def test_hears_its_tones(self):
        self.dialled("audio", "inband")

    def dials(self, method: str) -> None:
        self.sound()
        perl, at = self.perl("callee")
        perl.expect("ready")
        ours = self.phone("call", f"sip:perl@{at}", "--leg", self.leg(),
                          "--dtmf", DIGITS, "--dtmf-method", method)
        for digit in DIGITS:
            perl.expect(f"digit {digit}")
        ours.result()

    def test_dials_by_events(self):
        self.dials("rfc4733")

    def test_dials_by_tones(self):
        self.dials("inband")


class ThroughUs(sip_phones.Case, phone_world.PhoneTests):
    """Between it and us there is a sluiced."""

    def setUp(self):
        super().setUp()
        self.folder = self.daemon.folder

    def ours(self, verb: str, user: str, leg: str, *words,
             transport: str = "udp", whom: tuple = ()) -> Phone:
        word = self.folder / f"{user}.password"
        word.write_text(PASSWORDS[user] + "\n")
        phone = self.phone(
            verb, *whom, "--register", "--user", f"{user}@example.com",
            "--password-file", word, "--proxy",
            f"sip:{self.daemon.listener(leg)};transport={transport}", "--leg",
            f"{transport}:127.0.0.1:0", "--rtp-ports", "50000-59999", *words)
        phone.expect("registered for")
        return phone


@needs_perl
class PerlThroughUsTest(ThroughUs):
    def called_by(self, transport: str) -> None:
        bob = self.ours("echo", "bob", "inside", "--count", 1,
                        transport=transport)
        alice = self.agent("caller", "alice", "127.0.0.11", "outside",
                           "sip:bob@example.com", PACKETS, DIGITS,
                           via=f";transport={transport}")
        alice.expect(f"echoed {PACKETS} wrong")
        alice.expect(f"echoed digits {DIGITS}")
        alice.expect("hold OK")
        bob.expect("200")
        alice.expect("resume OK")
        alice.expect("hung up")
        call = bob.call()
        self.assertEqual(call["ended_by"], "peer")
        self.assertEqual("".join(d["digit"] for d in call["dtmf"]), DIGITS)
        self.all_ports_back()

    def test_echoes_its_packets_digits_and_understands_its_hold(self):
        self.called_by("udp")

    def test_echoes_them_over_tcp(self):
        self.called_by("tcp")

    def test_hears_its_echo_and_holds_it(self):
        played = self.sound()
        bob = self.agent("callee", "bob", "127.0.0.22", "inside")
        bob.expect("ready")
        alice = self.ours("call", "alice", "outside", "--play", "play.pcmu",
                          "--record", "alice.pcmu", "--dtmf", DIGITS,
                          "--hold-after", 3, "--resume-after", 0.5,
                          whom=("bob@example.com",))
        for digit in DIGITS:
            bob.expect(f"digit {digit}")
        alice.expect("on hold: 200")
        alice.expect("offered anew: 200")
        call = alice.call()
        bob.expect("bye")
        self.assertEqual(call["lost"], 0)
        heard = (self.folder / "alice.pcmu").read_bytes()
        # Digits stand in the middle of it.
        self.assertIn(played[-10 * PACKET:], heard)
        self.all_ports_back()

    def test_hears_that_it_is_refused(self):
        bob = self.agent("refuser", "bob", "127.0.0.22", "inside", 486)
        bob.expect("ready")
        alice = self.ours("call", "alice", "outside", whom=("bob@example.com",))
        self.assertEqual(alice.call(1)["code"], 486)
        self.all_ports_back()

    def test_gives_up_when_it_only_rings(self):
        bob = self.agent("ringer", "bob", "127.0.0.22", "inside")
        bob.expect("ready")
        alice = self.ours("call", "alice", "outside", "--ring", 1,
                          whom=("bob@example.com",))
        self.assertFalse(alice.call(5)["established"])
        self.all_ports_back()


@unittest.skipUnless(shutil.which("baresip"), "baresip is not installed")
class BaresipTest(ThroughUs):
    config = {"algorithms": ("MD5",)}

    def theirs(self, user: str, leg: str, transport: str = "udp"):
        return baresip_test.Phone(self, user, leg, transport)

    def sound_both_ways(self, their, ours: Phone, end) -> dict:
        wait_for(lambda: self.daemon.heard(PACKETS), "sound both ways")
        end()
        their.expect("CALL_CLOSED")
        call = ours.call()
        self.assertTrue(call["established"])
        self.all_ports_back()
        wait_for(their.heard_hz, "a record")
        self.assertAlmostEqual(their.heard_hz(), 700, delta=30)
        self.assertAlmostEqual(
            pitch_hz(self.folder / "ours.wav"),
            baresip_test.TONES_HZ[their.user], delta=30)
        return call

    def calls(self, transport: str) -> None:
        bob = self.theirs("bob", "inside", transport)
        alice = self.ours("call", "alice", "outside", "--tone", 700, "--record",
                          "ours.wav", whom=("bob@example.com",),
                          transport=transport)
        bob.expect("CALL_INCOMING")
        alice.expect("180")
        bob.press("accept")
        bob.expect("CALL_ESTABLISHED")
        alice.expect("established")
        self.sound_both_ways(bob, alice, alice.interrupt)

    def test_calls_it(self):
        self.calls("udp")

    def test_calls_it_over_tcp(self):
        self.calls("tcp")

    def answers(self, transport: str) -> None:
        bob = self.ours("answer", "bob", "inside", "--count", 1, "--tone", 700,
                        "--record", "ours.wav", transport=transport)
        alice = self.theirs("alice", "outside", transport)
        alice.press("dial", "sip:bob@example.com")
        alice.expect("CALL_ESTABLISHED")
        bob.expect("established")
        call = self.sound_both_ways(alice, bob, lambda: alice.press("hangup"))
        self.assertEqual(call["ended_by"], "peer")

    def test_answers_it(self):
        self.answers("udp")

    def test_answers_it_over_tcp(self):
        self.answers("tcp")

    def test_dials_to_it_and_hears_its_digits(self):
        bob = self.theirs("bob", "inside")
        alice = self.ours("call", "alice", "outside", "--dtmf", DIGITS,
                          "--duration", 60, whom=("bob@example.com",))
        bob.expect("CALL_INCOMING")
        bob.press("accept")
        for digit in DIGITS:
            self.assertEqual(bob.expect("CALL_DTMF_START")["param"], digit)
        bob.press("sndcode", "42")
        alice.expect("digit 4 (rfc4733)")
        alice.expect("digit 2 (rfc4733)")
        bob.press("hangup")
        self.assertEqual(alice.call()["ended_by"], "peer")
        self.all_ports_back()

    def calling_bob(self, transport: str, *words):
        """It is bob, and has answered."""
        bob = self.theirs("bob", "inside", transport)
        alice = self.ours("call", "alice", "outside", *words, "--tone", 700,
                          "--record", "ours.wav", whom=("bob@example.com",),
                          transport=transport)
        bob.expect("CALL_INCOMING")
        bob.press("accept")
        bob.expect("CALL_ESTABLISHED")
        alice.expect("established")
        return alice, bob

    def packets(self) -> dict[str, int]:
        """That came from the one who calls, and from the one who is called."""
        return {side: told["packets_in"]
                for side, told in (self.daemon.voice() or {}).items()}

    def only_one_speaks(self, speaker: str, other: str) -> None:
        looks = []

        def found() -> bool:
            now = self.packets()
            if not looks or now[other] != looks[0][other]:
                looks[:] = [now]
            return now[speaker] >= looks[0][speaker] + PACKETS // 2
        wait_for(found, f"{other} to be silent while {speaker} speaks")

    def nobody_speaks(self) -> None:
        changed, before = time.monotonic(), {}

        def found() -> bool:
            nonlocal changed, before
            if (now := self.packets()) != before:
                changed, before = time.monotonic(), now
            return time.monotonic() > changed + QUIET_S
        wait_for(found, "both to be silent")

    def both_speak_again(self) -> None:
        before = self.packets()
        wait_for(lambda: all(count >= before[side] + PACKETS
                             for side, count in self.packets().items()),
                 "sound both ways")

    def test_is_held_by_it_and_taken_back(self):
        alice, bob = self.calling_bob("udp", "--trace")
        bob.press("hold")
        alice.expect("a=sendonly")
        alice.expect("a=recvonly")
        # It sends nothing either.
        self.nobody_speaks()
        bob.press("resume")
        alice.expect("a=sendrecv")
        alice.expect("SIP/2.0 200 OK")
        self.both_speak_again()
        alice.interrupt()
        bob.expect("CALL_CLOSED")
        self.assertFalse(alice.call()["held_by_peer"])

    def test_holds_it(self):
        alice, bob = self.calling_bob("udp", "--hold-after", 0.5,
                                      "--duration", 60)
        bob.program.expect("a=sendonly")
        bob.program.expect("a=recvonly")
        alice.expect("on hold: 200")
        self.only_one_speaks("from", "to")
        alice.interrupt()
        bob.expect("CALL_CLOSED")
        self.assertTrue(alice.call()["held"])
        self.all_ports_back()

    def holds(self, transport: str) -> None:
        alice, bob = self.calling_bob(transport, "--duration", 60,
                                      "--hold-after", 0.5, "--resume-after",
                                      0.5)
        for offered, answered in (("a=sendonly", "a=recvonly"),
                                  ("a=sendrecv", "a=sendrecv")):
            bob.program.expect(offered)
            bob.program.expect("got re-INVITE")
            bob.program.expect(answered)
        alice.expect("offered anew: 200")
        bob.press("sndcode", "7")
        alice.expect("digit 7 (rfc4733)")
        self.both_speak_again()
        bob.press("hangup")
        self.assertFalse(alice.call()["held"])
        self.assertAlmostEqual(
            pitch_hz(self.folder / "ours.wav", last_s=0.3),
            baresip_test.TONES_HZ["bob"], delta=30)
        self.all_ports_back()

    def test_holds_it_and_takes_it_back(self):
        self.holds("udp")

    def test_holds_it_over_tcp_and_takes_it_back(self):
        self.holds("tcp")

    def test_tells_of_its_refusal(self):
        bob = self.theirs("bob", "inside")
        alice = self.ours("call", "alice", "outside", whom=("bob@example.com",))
        bob.expect("CALL_INCOMING")
        bob.press("hangup")
        self.assertEqual(alice.call(1)["code"], 486)
        self.all_ports_back()


KAMAILIO = """\
debug=1
log_stderror=yes
children=2
disable_tcp=no
listen=udp:127.0.0.1:{port}
listen=tcp:127.0.0.1:{port}
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
loadmodule "siputils.so"
loadmodule "textops.so"
modparam("auth", "algorithm", "{algorithm}")
# For one that is registered and gone.
modparam("tm", "fr_timer", 3000)
request_route {{
  if (is_method("REGISTER")) {{
    if (!pv_www_authenticate("example.com", "{password}", "0")) {{
      www_challenge("example.com", "1");
      exit;
    }}
    save("location");
    exit;
  }}
  if (has_totag()) {{
    loose_route();
    t_relay();
    exit;
  }}
  if (is_method("CANCEL")) {{
    t_relay();
    exit;
  }}
  if (!pv_proxy_authenticate("example.com", "{password}", "0")) {{
    proxy_challenge("example.com", "1");
    exit;
  }}
  consume_credentials();
  record_route();
  if (!lookup("location")) {{
    sl_send_reply("404", "Not Found");
    exit;
  }}
  t_relay();
}}
"""


@unittest.skipUnless(shutil.which("kamailio"), "kamailio is not installed")
class KamailioTest(phone_world.Case):
    PASSWORD = "correct horse"

    ALGORITHM = "MD5"

    def setUp(self):
        super().setUp()
        self.port = free_port("127.0.0.1")
        config = self.folder / "kamailio.cfg"
        config.write_text(KAMAILIO.format(port=self.port,
                                          password=self.PASSWORD,
                                          algorithm=self.ALGORITHM))
        # In the foreground (-DD), so that it ends with its signal.
        self.kamailio = self.start(
            "kamailio", "-f", config, "-DD", "-E", "-Y", self.folder, "-P",
            self.folder / "pid", "-m", "32", "-M", "4")
        wait_for(self.answers, "kamailio")

    def answers(self) -> bool:
        assert self.kamailio.process.poll() is None, self.kamailio.text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def user(self, verb: str, user: str, transport: str, *words,
             whom: tuple = (), password: str = PASSWORD) -> Phone:
        word = self.folder / f"{user}.password"
        word.write_text(password + "\n")
        return self.phone(
            verb, *whom, "--user", f"{user}@example.com", "--password-file",
            word, "--proxy",
            f"sip:127.0.0.1:{self.port};transport={transport}", "--leg",
            f"{transport}:127.0.0.1:0", *words)

    def call(self, transport: str) -> None:
        played = self.sound()
        bob = self.user("answer", "bob", transport, "--register", "--count", 1,
                        "--record", "bob.pcmu")
        bob.expect("registered for")
        alice = self.user("call", "alice", transport, "--play", "play.pcmu",
                          whom=("bob@example.com",))
        self.assertEqual(alice.call()["code"], 200)
        self.assertTrue(bob.result()["registration"]["removed"])
        self.heard_all(played, "bob.pcmu")

    def test_registers_and_calls_with_digest(self):
        self.call("udp")

    def test_registers_and_calls_over_tcp(self):
        self.call("tcp")

    def test_tells_of_a_wrong_password(self):
        failed = self.user("register", "bob", "udp", password="wrong")
        self.assertIn("401", failed.result(1)["registration"]["error"])
        call = self.user("call", "alice", "udp", whom=("bob@example.com",),
                         password="wrong").call(1)
        self.assertEqual(call["code"], 407)

    def test_registers_anew_after_it_was_removed(self):
        for expires, removed in (60, False), (0, True), (60, False):
            done = self.user("register", "bob", "udp", "--expires", expires)
            registration = done.result()["registration"]
            self.assertTrue(registration["ok"])
            self.assertEqual(registration["removed"], removed)
        call = self.user("call", "alice", "udp", "--ring", 1,
                         whom=("bob@example.com",)).call(5)
        self.assertFalse(call["established"])


class KamailioSha256Test(KamailioTest):
    ALGORITHM = "SHA-256"

    def test_is_asked_for_it(self):
        """What the other tests here go by."""
        bob = self.user("register", "bob", "udp", "--trace")
        bob.expect("WWW-Authenticate: Digest")
        bob.expect("Authorization: Digest")
        bob.result()
        for header in re.findall(r"^.*Authenti\w+: Digest.*|^Authorization:.*",
                                 bob.text(), re.M):
            self.assertRegex(header, "algorithm=\"?SHA-256")


if __name__ == "__main__":
    sip_phones.main(__doc__)
