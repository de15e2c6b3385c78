#!/usr/bin/env python3
"""sip_test.py BUILD [CASE...]: other people's phones, through us.

Goal: phones of other people's making register with us on different legs, call
each other through us, and their media goes through our shards: Perl's Net::SIP
agents and sipp, over UDP and TCP, IPv4 and IPv6, on one leg and on two.
Method: a sluiced with four SIP legs, phones as processes of their own; what they
tell, and what the daemon tells of the call, is held against each other."""

import pathlib
import shutil
import socket
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import sip_phones  # noqa: E402
from sip_phones import (LEGS, PATIENCE_S, Program, free_port,  # noqa: E402
                        have_raw_sockets, needs_perl, needs_sipp, wait_for)

PACKETS = 50  # a second of sound
DATA = pathlib.Path(__file__).resolve().parent.parent / "data"
RECORDING = pathlib.Path("/usr/share/sip-tester/g711a.pcap")
CALLERS = {"outside": "127.0.0.11", "six": "::1"}
CALLEES = {"outside": "127.0.0.21", "inside": "127.0.0.22", "sixth": "::1"}


@needs_perl
class PerlTest(sip_phones.Case):
    def callee(self, leg: str, via: str = "") -> Program:
        bob = self.agent("callee", "bob", CALLEES[leg], leg, via=via)
        bob.expect("registered 60")
        bob.expect("ready")
        return bob

    def whole_call(self, caller_leg: str, callee_leg: str, via: str = "",
                   digits: str = "") -> str:
        """A registers on one leg, B on the other, A calls B; where A was told
        to send its media."""
        bob = self.callee(callee_leg, via)
        alice = self.agent("caller", "alice", CALLERS[caller_leg], caller_leg,
                           "sip:bob@example.com", PACKETS, digits, via=via)
        alice.expect("registered 60")
        told = alice.expect("established, media to")
        alice.expect(f"echoed {PACKETS} wrong 0")
        if digits:
            for digit in digits:
                bob.expect(f"digit {digit}")
            alice.expect(f"echoed digits {digits}")
        alice.expect("hold OK")
        alice.expect("resume OK")
        alice.expect("hung up")
        bob.expect("bye")
        self.all_ports_back()
        return told.rsplit(" ", 1)[1].split(",")[0]

    def ours(self, told: str, address: str) -> None:
        host, port = told.rsplit(":", 1)
        self.assertEqual(host, address)
        self.assertTrue(10000 <= int(port) <= 32767, told)

    def theirs(self, told: str, address: str) -> None:
        self.assertEqual(told.rsplit(":", 1)[0], address)

    def test_carries_a_call_between_two_legs(self):
        self.ours(self.whole_call("outside", "inside"), "127.0.0.1")

    def test_carries_it_on_one_leg_without_touching_the_media(self):
        self.theirs(self.whole_call("outside", "outside"), "127.0.0.21")

    def test_carries_it_over_tcp(self):
        self.ours(self.whole_call("outside", "inside", ";transport=tcp"),
                  "127.0.0.1")

    def test_carries_it_over_tcp_on_one_leg(self):
        self.theirs(self.whole_call("outside", "outside", ";transport=tcp"),
                    "127.0.0.21")

    def test_carries_it_from_ipv6_to_ipv4(self):
        self.ours(self.whole_call("six", "inside"), "::1")

    def test_carries_it_from_ipv6_to_ipv6(self):
        self.ours(self.whole_call("six", "sixth"), "::1")

    def test_carries_it_from_ipv6_to_ipv6_over_tcp(self):
        self.ours(self.whole_call("six", "sixth", ";transport=tcp"), "::1")

    def test_carries_dialled_digits_both_ways(self):
        self.ours(self.whole_call("outside", "inside", digits="42#*"),
                  "127.0.0.1")

    def test_refuses_a_wrong_password(self):
        phone = self.agent("callee", "bob", "127.0.0.21", "outside",
                           password="wrong")
        phone.expect("registered not")


class LegsTest(sip_phones.Case):
    def test_tells_of_legs(self):
        self.assertEqual([leg["name"] for leg in self.daemon.ask("legs")["legs"]],
                         list(LEGS))


needs_recording = unittest.skipUnless(
    RECORDING.exists() and have_raw_sockets(),
    "no recording, or no raw socket to play it through")
# To sipp any request is of the call whose Call-ID it has.
HANG_UP = """\
INFO sip:caller@127.0.0.1 SIP/2.0\r
Via: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKhangup\r
From: <sip:test@127.0.0.1>;tag=1\r
To: <sip:caller@127.0.0.1>\r
Call-ID: {call_id}\r
CSeq: 9 INFO\r
Content-Length: 0\r
\r
"""


@needs_sipp
class SippTest(sip_phones.Case):
    def callee(self, *more) -> str:
        port = free_port("127.0.0.31")
        self.start("sipp", "-sn", "uas", "-i", "127.0.0.31", "-p", port,
                   "-mi", "127.0.0.31", "-mp", free_port("127.0.0.31"),
                   "-rtp_echo", "-nostdin", *more)
        return f"127.0.0.31:{port}"

    def caller(self, callee: str, port: int, *more) -> Program:
        return self.start(
            "sipp", *more, "-i", "127.0.0.1", "-p", port, "-mi", "127.0.0.1",
            "-mp", free_port("127.0.0.1"), "-nostdin", "-rsa",
            self.daemon.listener("outside"), "-timeout", f"{2 * PATIENCE_S}s",
            callee)

    def ends_well(self, uac: Program) -> None:
        # 0: every call ended as its scenario wants.
        self.assertEqual(uac.ended(), 0, uac.text()[-2000:])
        self.all_ports_back()

    def test_carries_twenty_calls_a_second(self):
        self.ends_well(self.caller(self.callee(), free_port("127.0.0.1"),
                                   "-sn", "uac", "-m", 20, "-r", 20))

    def call_with_media(self, *how: str, callee: tuple = ()) -> None:
        shutil.copy(RECORDING, self.daemon.folder)
        port = free_port("127.0.0.1")
        uac = self.caller(self.callee(*callee), port, "-sf",
                          DATA / "sipp/uac_media.xml", "-m", 1, "-key", "how",
                          *how)
        wait_for(lambda: self.daemon.heard(PACKETS), "sound and its echo")
        call = self.daemon.call()
        for side in self.daemon.voice().values():
            self.assertEqual(side["drops"], {})
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as finger:
            finger.sendto(HANG_UP.format(**call).encode(), ("127.0.0.1", port))
        self.ends_well(uac)

    @needs_recording
    def test_carries_its_media(self):
        self.call_with_media("")

    @needs_recording
    def test_carries_its_media_where_udp_meets_tcp(self):
        self.call_with_media(";transport=tcp", callee=("-t", "t1"))


if __name__ == "__main__":
    sip_phones.main(__doc__)
