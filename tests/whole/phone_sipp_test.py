#!/usr/bin/env python3
"""phone_sipp_test.py BUILD [CASE...]: sluicephone and sipp.

Goal: sipp calls sluicephone and is called by it, by UDP and TCP: sound arrives
whole, digits are recognised, and what each says of a hold is what RFC 3264 has.
Method: scenarios that fail where an answer or an offer is another than they
want; sipp sends back what it hears, or plays what comes with it."""

import pathlib
import shutil
import socket
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import phone_world  # noqa: E402
import sip_phones  # noqa: E402
import sip_test  # noqa: E402
from phone_world import PACKET, Phone  # noqa: E402
from sip_phones import (PATIENCE_S, Program, free_port,  # noqa: E402
                        needs_sipp, wait_for)

SCENARIOS = sip_test.DATA / "sipp"
DIGITS = "159*#"  # as in uac_digits.xml
TRANSPORTS = {"udp": "u1", "tcp": "t1"}  # sipp's names of them


def payloads(pcap: pathlib.Path) -> bytes:
    """Of the RTP in a capture of Ethernet and IPv4, one behind the other."""
    data, at, found = pcap.read_bytes(), 24, []
    order = "<" if data[:4] == b"\xd4\xc3\xb2\xa1" else ">"
    while at < len(data):
        length, = struct.unpack_from(f"{order}8xI", data, at)
        found.append(data[at + 16 + 14 + 20 + 8 + 12:at + 16 + length])
        at += 16 + length
    return b"".join(found)


def listens(address: str, port: int, transport: str) -> bool:
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind((address, port))
        except OSError:
            return True
    return False


@needs_sipp
class CalledTest(phone_world.Case):
    """We call it; it sends back what it hears."""
    ADDRESS = "127.0.0.31"

    def uas(self, transport: str, *scenario) -> tuple[Program, str]:
        port = free_port(self.ADDRESS)
        # That of its own waits for seconds behind the call.
        scenario = scenario or ("-sf", SCENARIOS / "uas_hold.xml")
        sipp = self.start("sipp", *scenario, "-i", self.ADDRESS, "-p", port,
                          "-mi", self.ADDRESS, "-mp", free_port(self.ADDRESS),
                          "-rtp_echo", "-nostdin", "-t", TRANSPORTS[transport],
                          "-m", 1)
        wait_for(lambda: listens(self.ADDRESS, port, transport), "sipp")
        return sipp, f"sip:x@{self.ADDRESS}:{port};transport={transport}"

    def call(self, where: str, transport: str, *words) -> Phone:
        return self.phone("call", where, "--leg", self.leg(transport), *words)

    def hears_itself(self, transport: str, *scenario) -> None:
        played = self.sound()
        sipp, where = self.uas(transport, *scenario)
        call = self.call(where, transport, "--play", "play.pcmu", "--record",
                         "ours.pcmu").call()
        self.no_loss(call)
        self.heard_all(played, "ours.pcmu")
        self.assertEqual(sipp.ended(), 0, sipp.text()[-2000:])

    def test_calls_it_and_hears_its_echo(self):
        self.hears_itself("udp")

    def test_calls_its_built_in_scenario(self):
        self.hears_itself("udp", "-sn", "uas")

    def test_calls_it_over_tcp(self):
        self.hears_itself("tcp")

    def holds(self, transport: str) -> None:
        played = self.sound(seconds=4)
        sipp, where = self.uas(transport)
        ours = self.call(where, transport, "--play", "play.pcmu", "--record",
                         "ours.pcmu", "--hold-after", 1, "--resume-after",
                         0.5)
        ours.expect("on hold: 200")
        ours.expect("offered anew: 200")
        call = ours.call()
        self.assertFalse(call["held"] or call["held_by_peer"], call)
        self.assertEqual(sipp.ended(), 0, sipp.text()[-2000:])
        self.heard_in_two(played, "ours.pcmu")

    def test_holds_it_and_takes_it_back(self):
        self.holds("udp")

    def test_holds_it_over_tcp(self):
        self.holds("tcp")

    def hears_its_own_digits(self, method: str) -> None:
        sipp, where = self.uas("udp")
        call = self.call(where, "udp", "--dtmf", DIGITS, "--dtmf-method",
                         method).call()
        self.assertEqual([(d["digit"], d["method"]) for d in call["dtmf"]],
                         [(digit, method) for digit in DIGITS])
        self.assertEqual(sipp.ended(), 0, sipp.text()[-2000:])

    def test_dials_by_events(self):
        self.hears_its_own_digits("rfc4733")

    def test_dials_by_tones(self):
        self.hears_its_own_digits("inband")


@needs_sipp
class CallerTest(phone_world.Case):
    """It calls us."""

    def uac(self, scenario: str, ours: Phone, transport: str,
            *more) -> Program:
        return self.start(
            "sipp", "-sf", SCENARIOS / scenario, "-m", 1, "-i", "127.0.0.1",
            "-p", free_port("127.0.0.1"), "-mi", "127.0.0.1", "-mp",
            free_port("127.0.0.1"), "-nostdin", "-t", TRANSPORTS[transport],
            "-key", "how", f";transport={transport}", "-timeout",
            f"{PATIENCE_S}s", *more, ours.at(transport))

    def answering(self, verb: str, transport: str, *words) -> Phone:
        return self.phone(verb, "--leg", self.leg(transport), "--count", 1,
                          *words)

    def answers(self, transport: str) -> None:
        shutil.copy(sip_test.RECORDING, self.folder)
        ours = self.answering("echo", transport, "--record", "ours.pcma")
        uac = self.uac("uac_media.xml", ours, transport)
        ours.expect("established, PCMA")
        record = self.folder / "ours.pcma"
        wait_for(lambda: record.stat().st_size > 100 * PACKET,
                 "two seconds of its recording")
        # It hangs up when it is told to; what it says of that is sip_test.py's.
        ours.interrupt()
        call = ours.call()
        self.assertEqual((call["codec"], call["ended_by"]), ("PCMA", "us"))
        self.no_loss(call)
        self.assertTrue(payloads(sip_test.RECORDING).startswith(
            record.read_bytes()))
        uac.kill()

    @sip_test.needs_recording
    def test_answers_its_recording(self):
        self.answers("udp")

    @sip_test.needs_recording
    def test_answers_it_over_tcp(self):
        self.answers("tcp")

    def is_held(self, transport: str) -> None:
        played = self.sound(seconds=4)
        ours = self.answering("answer", transport, "--play", "play.pcmu",
                              "--record", "ours.pcmu")
        uac = self.uac("uac_hold.xml", ours, transport, "-rtp_echo")
        record = self.folder / "ours.pcmu"
        wait_for(lambda: record.exists() and
                 played[-10 * PACKET:] in record.read_bytes(),
                 "the end of what we play, sent back")
        self.heard_in_two(played, "ours.pcmu")
        ours.interrupt()
        call = ours.call()
        self.assertFalse(call["held"] or call["held_by_peer"], call)
        self.assertEqual(uac.ended(), 0, uac.text()[-2000:])

    def test_is_held_by_it_and_taken_back(self):
        self.is_held("udp")

    def test_is_held_by_it_over_tcp(self):
        self.is_held("tcp")

    @sip_test.needs_recording
    def test_hears_its_events(self):
        for transport in TRANSPORTS:
            with self.subTest(transport):
                ours = self.answering("answer", transport)
                uac = self.uac("uac_digits.xml", ours, transport)
                for digit in DIGITS:
                    ours.expect(f"digit {digit} (rfc4733)")
                ours.interrupt()
                digits = ours.call()["dtmf"]
                self.assertEqual("".join(d["digit"] for d in digits), DIGITS)
                self.assertEqual(uac.ended(), 0, uac.text()[-2000:])


if __name__ == "__main__":
    sip_phones.main(__doc__)
