"""Both ends of calls through a proxy with two legs, for sip_random_test.py: two
phones, each a UDP socket for all of its calls, and the parties of one call.

A call is a script that sees both ends: what one party sends it sees come out at
the other, and sends it again when it does not."""

import asyncio
import collections
import contextlib
import random
import re
import socket
import struct
import time
from typing import NamedTuple

RESEND_S, RESEND_MAX_S = 0.5, 4
# Where the media of all calls is heard that have a description to be followed.
MEDIA_PORT = 4000
# Only so that a hang ends.
PATIENCE_S = 60
LOST_SHARE, TWICE_SHARE = 0.02, 0.05


class Message:
    def __init__(self, octets: bytes):
        head, _, self.body = octets.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.headers = collections.defaultdict(list)
        for line in lines[1:]:
            name, _, value = line.partition(":")
            self.headers[name.strip().lower()].append(value.strip())
        first = lines[0].split(" ", 2)
        self.status = int(first[1]) if first[0] == "SIP/2.0" else 0
        number, self.method = self["cseq"].split()
        self.cseq = int(number)
        if not self.status:
            assert first[0] == self.method, lines[0]
        tag = re.search(r">;tag=(\w+)", self["to"])
        self.to_tag = tag[1] if tag else ""

    def __getitem__(self, name: str) -> str:
        values = self.headers.get(name)
        return values[0] if values else ""

    def routes(self) -> list[str]:
        return [one.strip() for value in self.headers["record-route"]
                for one in value.split(",")]

    def target(self) -> str:
        return re.search(r"<([^>]*)>", self["contact"])[1]


class Packet(NamedTuple):
    """Of media, heard as if it were a message."""
    method: str = "RTP"
    cseq: int = 0
    status: int = 0


class Phone:
    """One end of all calls."""

    def __init__(self, address: str, leg: str):
        self.address, self.leg = address, leg
        self.calls = {}  # Call-ID -> Call
        self.heard = self.strays = self.packets = 0

    def open(self) -> None:
        self.sip = self._listen(5060, self.on_message)
        self.media = self._listen(MEDIA_PORT, self.on_packet)

    def _listen(self, port: int, tell) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        sock.bind((self.address, port))
        sock.setblocking(False)

        def read():
            # All that is there: what waits for its turn is sent again.
            with contextlib.suppress(BlockingIOError):
                while True:
                    tell(sock.recv(65536))
        asyncio.get_running_loop().add_reader(sock, read)
        return sock

    def close(self) -> None:
        for sock in self.sip, self.media:
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()

    def on_message(self, octets: bytes) -> None:
        self.heard += 1
        message = Message(octets)
        call = self.calls.get(message["call-id"])
        if call is None:
            self.strays += 1  # its call is over for us
        else:
            call.on_message(self, message)

    def on_packet(self, octets: bytes) -> None:
        """A packet's payload is its call's name."""
        self.packets += 1
        if call := self.calls.get(octets[12:].decode()):
            call.on_message(self, Packet())

    def send(self, octets: bytes) -> None:
        with contextlib.suppress(BlockingIOError):  # lost
            self.sip.sendto(octets, (self.leg, 5060))


class Party:
    """One side of a dialog. A fork is another party on the same phone."""

    def __init__(self, call, phone: Phone, uri: str, tag: str):
        self.call, self.phone, self.uri, self.tag = call, phone, uri, tag
        self.remote = ""  # From or To of the other, with its tag
        self.target, self.routes = "", []
        self.cseq = call.dice.randrange(1, 1000)
        self.branches = 0

    def write(self, start: str, headers: list[str], body: bytes,
              kind: str) -> bytes:
        headers.append(f"Call-ID: {self.call.id}")
        if body:
            headers.append(f"Content-Type: {kind}")
        return "\r\n".join([start, *headers, f"Content-Length: {len(body)}", "",
                            ""]).encode() + body

    def request(self, method: str, body: bytes = b"", cseq: int = 0,
                branch: str = "", kind: str = "application/sdp") -> bytes:
        if not cseq:
            self.cseq += 1
        self.branches += 1
        self.branch = branch or f"z9hG4bK{self.tag}{self.branches}"
        headers = [
            f"Via: SIP/2.0/UDP {self.phone.address};branch={self.branch}",
            *(f"Route: {route}" for route in self.routes), "Max-Forwards: 70",
            f"From: <{self.uri}>;tag={self.tag}", f"To: {self.remote}",
            f"CSeq: {cseq or self.cseq} {method}"]
        if method in ("INVITE", "UPDATE"):
            headers.append(f"Contact: <sip:{self.tag}@{self.phone.address}>")
        return self.write(f"{method} {self.target} SIP/2.0", headers, body,
                          kind)

    def response(self, to: Message, status: int, body: bytes = b"",
                 kind: str = "application/sdp") -> bytes:
        headers = [f"Via: {via}" for via in to.headers["via"]]
        headers += [f"Record-Route: {one}"
                    for one in to.headers["record-route"]]
        headers += [f"From: {to['from']}", f"To: {to['to']}" + (
            "" if to.to_tag else f";tag={self.tag}"), f"CSeq: {to['cseq']}",
            f"Contact: <sip:{self.tag}@{self.phone.address}>"]
        return self.write(f"SIP/2.0 {status} So", headers, body, kind)

    def is_called_by(self, invite: Message) -> None:
        self.remote, self.target = invite["from"], invite.target()
        self.routes = invite.routes()

    def has_called(self, answer: Message) -> None:
        self.remote, self.target = answer["to"], answer.target()
        self.routes = answer.routes()[::-1]


class Call:
    """What both of its ends hear, in the order of each."""

    def __init__(self, number: int, seed: int, phones: tuple[Phone, Phone]):
        self.dice = random.Random(seed * 1_000_003 + number)
        self.id = f"{number}-{seed}@random"
        self.phones = phones
        self.events = collections.deque()
        self.woken = asyncio.Event()
        for phone in phones:
            phone.calls[self.id] = self
        caller, callee = (f"sip:{name}@{phone.address}" for name, phone in
                          zip(("alice", "bob"), phones))
        self.a = Party(self, phones[0], caller, f"a{number}")
        self.b = Party(self, phones[1], callee, f"b{number}")
        self.a.remote, self.a.target = f"<{callee}>", callee

    def close(self) -> None:
        for phone in self.phones:
            del phone.calls[self.id]

    def on_message(self, phone: Phone, message: Message) -> None:
        self.events.append((phone, message))
        self.woken.set()

    def send(self, party: Party, octets: bytes) -> None:
        """Once, twice or, to be sent again, not at all."""
        luck = self.dice.random()
        if luck < LOST_SHARE:
            return
        party.phone.send(octets)
        if luck > 1 - TWICE_SHARE:
            party.phone.send(octets)

    async def until(self, what: str, wanted, again) -> Message:
        """The next message that is wanted (phone, message -> bool); what comes
        before it is somebody's retransmission. `again()` sends it again, ever
        more seldom (RFC 3261 17.1.1.2)."""
        deadline = time.monotonic() + PATIENCE_S
        pause = RESEND_S
        while time.monotonic() < deadline:
            while self.events:
                phone, message = self.events.popleft()
                if wanted(phone, message):
                    return message
            self.woken.clear()
            try:
                await asyncio.wait_for(self.woken.wait(), pause)
            except asyncio.TimeoutError:
                pause = min(2 * pause, RESEND_MAX_S)
                again()
        raise AssertionError(f"{self.id}: waited in vain for {what}")

    async def bring(self, party: Party, octets: bytes, to: Party,
                    tag: str = "") -> Message:
        """Sends it until it has come out at `to`, with that To tag if one is
        given; or, for a request, until `party` has a final answer to it that
        is a refusal."""
        sent = Message(octets)

        def wanted(phone, message):
            if (message.method, message.cseq) != (sent.method, sent.cseq):
                return False
            if tag and message.to_tag != tag:
                return False
            if phone is to.phone and message.status == sent.status:
                return True
            return phone is party.phone and not sent.status and \
                message.status >= 300
        self.send(party, octets)
        return await self.until(octets.decode("latin-1"), wanted,
                                lambda: party.phone.send(octets))

    async def speak(self, party: Party, relay_port: int, to: Party,
                    answer: tuple[Party, bytes]) -> None:
        """Until a packet that goes to the relay has come out at `to`. The 200,
        and who sends it, is repeated with it: the relay may have waited for too
        long for us on a busy machine."""
        packet = struct.pack(">BBHII", 0x80, 0, 1, 160, 1) + self.id.encode()

        def send():
            with contextlib.suppress(BlockingIOError):
                party.phone.media.sendto(packet, ("127.0.0.1", relay_port))

        def again():
            answer[0].phone.send(answer[1])
            send()
        send()
        await self.until(f"media at {to.tag}", lambda phone, m: phone is
                         to.phone and m.method == "RTP", again)

    def ack(self, party: Party, answer: Message, branch: str,
            body: bytes = b"") -> bytes:
        """Of a 2xx: a request of the dialog. Of others: of the INVITE's hop."""
        if answer.status < 300:
            return party.request("ACK", body, cseq=answer.cseq)
        was = party.remote
        party.remote = answer["to"]
        octets = party.request("ACK", cseq=answer.cseq, branch=branch)
        party.remote = was
        return octets
