#!/usr/bin/env python3
"""sip_ports_test.py BUILD [CASE...]: however a call ends, its ports come back.

Goal: CANCEL, refusals of every class, phones that answer nothing, ring for ever
or vanish in mid call leave no port of the relay taken, and both phones learn
what they must.
Method: Perl agents on two legs. Where a message must free the ports, the
timeouts are the long ones of an ordinary configuration, so that no patience of
ours reaches them; where silence must, they are a second or two."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import sip_phones  # noqa: E402
from sip_phones import needs_perl, wait_for  # noqa: E402

BOB = "sip:bob@example.com"
# What the caller hears at last: sent elsewhere, it goes there by itself, and
# nobody of that name is registered.
REFUSALS = {302: 404, 403: 403, 486: 486, 503: 503, 603: 603}
PACKETS = 10


class Case(sip_phones.Case):
    def callee(self, role: str, *more, via: str = ""):
        bob = self.agent(role, "bob", "127.0.0.22", "inside", *more, via=via)
        bob.expect("ready")
        return bob

    def caller(self, role: str, *more, leg: str = "outside",
               address: str = "127.0.0.11", via: str = ""):
        return self.agent(role, "alice", address, leg, BOB, *more, via=via)


@needs_perl
class ByMessageTest(Case):
    def cancelled(self, **caller) -> None:
        bob = self.callee("ringer", via=caller.get("via", ""))
        alice = self.caller("canceller", **caller)
        bob.expect("invited")
        alice.expect("heard 180")
        self.assertGreater(self.daemon.ports_taken(), 0)
        alice.press("cancel")
        bob.expect("bye")
        alice.expect("cancelled")
        alice.expect("answered 487")
        self.all_ports_back()

    def test_after_a_cancel(self):
        self.cancelled()

    def test_after_a_cancel_over_tcp(self):
        self.cancelled(via=";transport=tcp")

    def test_after_a_cancel_from_ipv6_to_ipv4(self):
        self.cancelled(leg="six", address="::1")

    def test_after_a_refusal_of_every_class(self):
        bob = self.callee("refuser", *REFUSALS)
        for code, final in REFUSALS.items():
            with self.subTest(code):
                alice = self.caller("trier")
                bob.expect("invited")
                alice.expect(f"answered {final}")
                self.all_ports_back()

    def test_where_nobody_listens_any_more(self):
        bob = self.callee("callee", via=";transport=tcp")
        bob.kill()
        self.caller("trier").expect("answered 503")
        self.all_ports_back()


@needs_perl
class BySilenceTest(Case):
    config = {"relay": "active_timeout_s = 1\nunused_timeout_s = 2\n"}

    def test_where_the_callee_answers_nothing(self):
        bob = self.callee("deaf")
        self.caller("trier")
        bob.expect("hears nothing")
        self.all_ports_back()

    def test_where_it_rings_for_ever(self):
        self.callee("ringer")
        alice = self.caller("trier")
        alice.expect("heard 180")
        self.all_ports_back()

    def test_where_the_callee_vanishes_while_it_rings(self):
        bob = self.callee("ringer", via=";transport=tcp")
        alice = self.caller("trier")
        alice.expect("heard 180")
        bob.kill()
        self.all_ports_back()

    def vanishes(self, *which: int) -> None:
        bob = self.callee("callee")
        alice = self.caller("talker")
        alice.expect("established")
        wait_for(lambda: self.daemon.heard(PACKETS), "sound both ways")
        for number in which:
            (alice, bob)[number].kill()
        self.all_ports_back()

    def test_where_the_caller_vanishes_in_mid_call(self):
        # An echo without a voice is silent, too.
        self.vanishes(0)

    def test_where_both_vanish_in_mid_call(self):
        self.vanishes(0, 1)


if __name__ == "__main__":
    sip_phones.main(__doc__)
