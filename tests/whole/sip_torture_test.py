#!/usr/bin/env python3
"""sip_torture_test.py BUILD [CASE...]: the messages of RFC 4475 and RFC 5118,
sent to a running sluiced over UDP and over TCP.

Goal: each gets what it deserves, seen from outside: an answer, silence that is
counted, or the way to a listening callee octet for octet but for the edits that
a proxy has to make; and beside them every valid request is answered.
Method: torture_table.py says what is right and what is tolerated, the table of
tests/sip/torture_test.cc what the parser refuses; a valid request after each
message says when it has been handled."""

import contextlib
import pathlib
import re
import socket
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import sip_world  # noqa: E402
from sip_world import (LEG, NET, PATIENCE_S, TCP_PORT, UDP_PORT,  # noqa: E402
                       Daemon, Pinger, message)
from torture_table import TABLE, is_one_of  # noqa: E402

BUILD = pathlib.Path()
TESTS = pathlib.Path(__file__).resolve().parent.parent
SOURCE, CALLEE = f"{NET}.40", f"{NET}.30"
STRICT_MIN = {"rfc4475": 40, "rfc5118": 12}
# Its Route names a strict router, which is put into the request line.
STRICT_ROUTED = "mpart01"
# The end of its body, of its header never comes: a stream waits for it.
UNFINISHED = ("clerr", "baddn")

CONFIG = f"""
[sip]
domains = ["example.com"]
domain2proxy = {{ "*" = "sip:{CALLEE}:5060" }}
[[sip.leg]]
trusted = true
listen = ["udp:{LEG}:{UDP_PORT}", "tcp:{LEG}:{TCP_PORT}"]
"""


def octets_of(folder: str, name: str) -> bytes:
    return (TESTS / "data" / folder / f"{name}.msg").read_bytes()


def parser_refuses(folder: str) -> dict[str, int]:
    """The table of the unit test: name -> code, 0 for what it takes."""
    source = (TESTS / "sip/torture_test.cc").read_text()
    rows = re.search(rf"kR{folder[1:]}\[\] = {{(.*?)\n}};", source, re.S)[1]
    return {name: int(code or 0) for name, code in
            re.findall(r'{"([\w-]+)"(?:, (\d+))?}', rows)}


class Edited:
    """What a callee got, with the proxy's edits taken back."""

    def __init__(self, octets: bytes, original: bytes):
        head, self.body = octets.split(b"\r\n\r\n", 1)
        self.head = head + b"\r\n"
        self.original, _, body = original.partition(b"\r\n\r\n")
        self.original += b"\r\n"
        # What follows the body of a datagram is no part of it.
        length = re.search(rb"\r\n(?:Content-Length|l)\s*:\s*(\d+)",
                           self.original, re.I)
        self.original_body = body[:int(length[1])] if length else body

    def take_back(self) -> None:
        leg = LEG.encode()
        self.head, ours = re.subn(
            rb"\r\nVia: SIP/2.0/UDP " + leg + rb";branch=z9hG4bK[0-9a-s]+"
            rb"(?=\r\n)", b"", self.head)
        assert ours == 1, self.head
        self.head = re.sub(rb"\r\nRecord-Route: <sip:" + leg +
                           rb"[^\r]*(?=\r\n)", b"", self.head)
        # What it has noted replaces what another claims to have noted.
        top = re.search(rb"\r\n(?:Via|v)\s*:[^,]*?\r\n(?=\S)", self.original,
                        re.I)
        if top:
            self.original = self.original.replace(
                top[0], re.sub(rb";received=[^;\r]*", b"", top[0]), 1)
        self.head, noted = re.subn(
            rb";received=" + SOURCE.encode() + rb"(;rport=\d+)?",
            lambda m: b";rport" if m[1] else b"", self.head)
        assert noted == 1, self.head
        self.take_back_hops()
        if b"Content-Length" not in self.original:
            self.head = self.head.replace(
                b"\r\nContent-Length: %d\r\n" % len(self.body), b"\r\n")
        # A user who is registered here is sought at his contact.
        line = self.original.split(b"\r\n", 1)[0]
        self.head = re.sub(rb"^(\S+) sip:callee@\S+ SIP/2.0(?=\r\n)",
                           lambda _: line, self.head)

    def take_back_hops(self) -> None:
        pattern = rb"(\r\nMax-Forwards[ \t]*:\s*)(\d+)"
        before = re.search(pattern, self.original, re.I)
        after = re.search(pattern, self.head, re.I)
        if before is None:
            assert int(after[2]) == 70, self.head
            self.head = self.head.replace(after[0], b"")
            return
        # At most the proxy's own (RFC 3261 16.6 3 asks for one less).
        assert int(after[2]) == min(int(before[2]), 70) - 1, self.head
        self.head = self.head.replace(after[0], before[0])

    def take_back_strict_route(self) -> None:
        uri = re.search(rb"\r\nRoute: <([^>]*)>(?=\r\n)", self.head)
        was = re.search(rb"\r\nRoute: <([^>]*)>(?=\r\n)", self.original)
        method, went_to, version = self.head.split(b"\r\n")[0].split(b" ")
        assert went_to == was[1] and uri, self.head
        self.head = self.head.replace(uri[0], b"").replace(
            b" ".join((method, went_to, version)),
            b" ".join((method, uri[1], version)))
        self.original = self.original.replace(was[0], b"")


class Torture(unittest.TestCase):
    def setUp(self):
        self.stack = self.enterContext(contextlib.ExitStack())
        self.daemon = self.stack.enter_context(Daemon(BUILD, CONFIG))
        self.callee = self.listen(CALLEE, 5060)
        self.pinger = self.stack.enter_context(contextlib.closing(Pinger()))
        # Answers go to the port that the top Via names.
        ports = {5060, 5061}
        for folder, rows in TABLE.items():
            for row in rows:
                via = re.search(rb"\n(?:Via|v)\s*:[^;\r\n]*[\w\]]:(\d+)",
                                octets_of(folder, row.name), re.I)
                if via:
                    ports.add(int(via[1]))
        self.sources = {port: self.listen(SOURCE, port) for port in ports}

    def listen(self, address: str, port: int) -> socket.socket:
        sock = self.stack.enter_context(
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        sock.bind((address, port))
        sock.setblocking(False)
        return sock

    def settle(self) -> None:
        # Each is answered in a turn of the daemon's loop that begins after the
        # one before; a connection takes one to be accepted and one to be read.
        for _ in range(4):
            self.pinger.ping()

    def heard(self, *sockets) -> list[bytes]:
        heard = []
        for sock in sockets:
            with contextlib.suppress(BlockingIOError):
                while octets := sock.recv(65536):
                    heard.append(octets)
        return heard

    def register(self, uri: str) -> None:
        # It is reached where it has registered from.
        self.callee.sendto(message("REGISTER sip:example.com SIP/2.0", [
            f"Via: SIP/2.0/UDP {CALLEE};branch=z9hG4bKr", "Max-Forwards: 70",
            f"From: <{uri}>;tag=1", f"To: <{uri}>",
            f"Call-ID: registered-{self.pinger.asked}",
            "CSeq: 1 REGISTER", f"Contact: <sip:callee@{CALLEE}>"]),
            (LEG, UDP_PORT))
        self.settle()
        (answer,) = self.heard(self.callee)
        self.assertIn(b"SIP/2.0 200", answer, uri)

    def send_udp(self, octets: bytes) -> tuple[list[bytes], bool]:
        """(what came back, whether we were hung up on)"""
        self.sources[5060].sendto(octets, (LEG, UDP_PORT))
        self.settle()
        return self.heard(*self.sources.values()), False

    def send_tcp(self, octets: bytes) -> tuple[list[bytes], bool]:
        with socket.create_connection((LEG, TCP_PORT), PATIENCE_S,
                                      (SOURCE, 0)) as sock:
            sock.sendall(octets)
            self.settle()
            sock.setblocking(False)
            said, closed = b"", False
            with contextlib.suppress(BlockingIOError):
                while chunk := sock.recv(65536):
                    said += chunk
                closed = True
        # None of our own answers has a body.
        return [part for part in re.split(rb"(?<=\r\n\r\n)", said) if part], \
            closed

    def outcome_of(self, name: str, octets: bytes, send) -> str:
        answers, closed = send(octets)
        forwarded = self.heard(self.callee)
        codes = [answer.split()[1].decode() for answer in answers]
        if name == "dblreq" and send == self.send_tcp:
            # The octets behind the first message are one of their own.
            codes = codes[:1]
            forwarded = []
        self.assertLessEqual(len(codes) + len(forwarded), 1,
                             (name, codes, forwarded))
        if forwarded:
            edited = Edited(forwarded[0], octets)
            edited.take_back()
            if name == STRICT_ROUTED:
                edited.take_back_strict_route()
            self.assertEqual(edited.head, edited.original, name)
            self.assertEqual(edited.body, edited.original_body, name)
            return "fwd"
        if codes:
            return codes[0]
        return "close" if closed else "drop"

    def counted(self) -> int:
        numbers = self.daemon.counters()
        return numbers["transport_bad_frames"] + sum(
            value for name, value in numbers.items()
            if name.startswith("drop "))

    def check(self, folder: str, transport: str) -> None:
        send = self.send_udp if transport == "udp" else self.send_tcp
        refused = parser_refuses(folder)
        rows = TABLE[folder]
        self.assertEqual({row.name for row in rows}, set(refused))
        texts = {row.name: octets_of(folder, row.name) for row in rows}
        # Their users have to be somewhere; of those whose own REGISTER is to
        # come nobody asks any more.
        rows = sorted(rows, key=lambda r: texts[r.name].startswith(b"REGISTER"))
        for uri in sorted({line.split(b" ")[1].decode() for line in
                           (t.split(b"\r\n")[0] for t in texts.values())
                           if re.fullmatch(rb"\S+ sip:\S+@example.com SIP/2.0",
                                           line)}):
            self.register(uri)
        strict, other = [], []
        for row in rows:
            before = self.counted()
            outcome = self.outcome_of(row.name, texts[row.name], send)
            with self.subTest(row.name, outcome=outcome):
                if is_one_of(outcome, row.right[transport]):
                    strict.append(row.name)
                else:
                    other.append(f"{row.name} {outcome}")
                    self.assertTrue(is_one_of(
                        outcome, row.tolerated[transport]), row.name)
                if refused[row.name] and outcome not in ("drop", "close"):
                    self.assertEqual(outcome, str(refused[row.name]))
                if outcome == "drop" and not (
                        transport == "tcp" and row.name in UNFINISHED):
                    self.assertEqual(self.counted(), before + 1, row.name)
        print(f"  {folder} over {transport}: {len(strict)} of {len(rows)} "
              f"strict; tolerated: {', '.join(other) or 'none'}; "
              f"{self.pinger.asked} valid requests beside them, all answered")
        self.assertGreaterEqual(len(strict), STRICT_MIN[folder])
        self.assertEqual(self.daemon.ask("status")["pid"], self.daemon.pid)

    def test_rfc4475_over_udp(self):
        self.check("rfc4475", "udp")

    def test_rfc4475_over_tcp(self):
        self.check("rfc4475", "tcp")

    def test_rfc5118_over_udp(self):
        self.check("rfc5118", "udp")

    def test_rfc5118_over_tcp(self):
        self.check("rfc5118", "tcp")


def set_build(build: pathlib.Path) -> None:
    global BUILD
    BUILD = build


if __name__ == "__main__":
    sys.exit(sip_world.run_tests(__name__, __doc__, set_build))
