#!/usr/bin/env python3
"""examples_test.py BUILD [CASE...]: the programs of tools/examples/.

Goal: they do what they are shown for, with other people's agents.
Method: Perl's Net::SIP agents register with the registrar, call through the
proxy, call the echo and the answering machine; so does sluicephone."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import phone_world  # noqa: E402
import sip_phones  # noqa: E402
from phone_world import HERE, read_wav, samples_of, write_wav  # noqa: E402
from sip_phones import Program, free_port, needs_perl, wait_for  # noqa: E402

PACKETS = 50  # a second of sound
DIGITS = "42#"


class Case(phone_world.Case):
    def example(self, name: str, *arguments) -> Program:
        return self.start(self.build / "tools" / name, *arguments)

    def proxy(self) -> str:
        """A registrar and proxy for example.com; where it is."""
        at = f"127.0.0.1:{free_port('127.0.0.1')}"
        self.example("registrar_proxy", f"udp:{at}", "example.com").expect(at)
        return at

    def agent(self, role: str, user: str, proxy: str, *more) -> Program:
        """A sip_agent.pl, registered."""
        at = f"127.0.0.1:{free_port('127.0.0.1')}"
        agent = self.start("perl", HERE / "sip_agent.pl", role, at,
                           f"sip:{proxy}", f"sip:{user}@example.com", "none",
                           *more, at_end=0)
        agent.expect("registered 60")
        return agent


class RegistrarProxyTest(Case):
    @needs_perl
    def test_brings_two_agents_together(self):
        proxy = self.proxy()
        bob = self.agent("callee", "bob", proxy)
        bob.expect("ready")
        alice = self.agent("caller", "alice", proxy, "sip:bob@example.com",
                           PACKETS, DIGITS)
        alice.expect(f"echoed {PACKETS} wrong")
        for digit in DIGITS:
            bob.expect(f"digit {digit}")
        alice.expect("hold OK")
        alice.expect("resume OK")
        alice.expect("hung up")
        bob.expect("bye")

    @needs_perl
    def test_does_not_know_who_is_not_registered(self):
        alice = self.agent("trier", "alice", self.proxy(), "sip:bob@example.com")
        self.assertRegex(alice.expect("answered"), "404|480")

    def test_knows_how_it_is_used(self):
        wrong = self.example("registrar_proxy")
        wrong.expect("usage")
        self.assertEqual(wrong.ended(), 2)


class EchoServiceTest(Case):
    @needs_perl
    def test_sends_back_what_an_agent_says_by_our_proxy(self):
        # An echo has no account: it is called where it is.
        at = f"127.0.0.1:{free_port('127.0.0.1')}"
        self.example("echo_service", f"udp:{at}").expect(at)
        alice = self.agent("caller", "alice", self.proxy(), f"sip:echo@{at}",
                           PACKETS, DIGITS)
        alice.expect(f"echoed {PACKETS} wrong")
        alice.expect(f"echoed digits {DIGITS}")
        alice.expect("hung up")

    def test_sends_it_back_to_several_at_once(self):
        at = f"127.0.0.1:{free_port('127.0.0.1')}"
        self.example("echo_service", f"udp:{at}", "udp:127.0.0.2:0").expect(at)
        played = self.sound()
        phone = self.phone("call", f"sip:echo@{at}", "--leg", self.leg(),
                           "--count", 5, "--play", "play.pcmu", "--record",
                           "heard-{}.pcmu")
        self.assertEqual(phone.result()["totals"]["established"], 5)
        for number in range(1, 6):
            self.heard_all(played, f"heard-{number}.pcmu")


class AnsweringMachineTest(Case):
    def setUp(self):
        super().setUp()
        self.greeting = phone_world.noise(0.5)
        write_wav(self.folder / "greeting.wav", self.greeting)

    def messages(self) -> list[pathlib.Path]:
        return sorted(self.folder.glob("message-*.wav"))

    @needs_perl
    def test_registers_greets_an_agent_and_keeps_its_words(self):
        proxy = self.proxy()
        machine = self.example("answering_machine", "udp:127.0.0.1:0",
                               "greeting.wav", f"sip:{proxy}", "example.com",
                               "machine", "none")
        machine.expect("ready")
        alice = self.agent("talker", "alice", proxy, "sip:machine@example.com")
        alice.expect("established")
        wait_for(lambda: self.messages() and
                 self.messages()[0].stat().st_size > 8000, "a message")

    def test_keeps_a_file_for_each_call(self):
        at = f"127.0.0.1:{free_port('127.0.0.1')}"
        machine = self.example("answering_machine", f"udp:{at}", "greeting.wav")
        machine.expect("ready")
        said = self.sound()
        for number in range(1, 3):
            call = self.phone("call", f"sip:machine@{at}", "--leg", self.leg(),
                              "--play", "play.wav", "--record",
                              f"heard-{number}.wav").call()
            self.assertEqual(call["ended_by"], "us")
            self.heard_all(said, f"message-{number}.wav")
            # Its first packet may have come before its answer.
            self.assertIn(samples_of(self.greeting[800:]),
                          read_wav(self.folder / f"heard-{number}.wav"))
        self.assertEqual(len(self.messages()), 2)

    def test_tells_of_a_leg_that_is_none(self):
        wrong = self.example("answering_machine", "udp:nowhere", "greeting.wav")
        wrong.expect("nowhere")
        self.assertEqual(wrong.ended(), 1)


if __name__ == "__main__":
    sip_phones.main(__doc__)
