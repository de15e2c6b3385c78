"""Connections to a SIP leg that never ask a whole question, for
sip_hostile_test.py."""

import collections
import contextlib
import random
import selectors
import socket
import ssl
import time

import hostile_test
from sip_world import (LEG, NET, PATIENCE_S, TCP_PORT, TLS_PORT, any_tls,
                       message)

ATTACKERS = 300
# How often a closed one comes again, all together: TLS handshakes are dear, and
# the machine has to do both sides of them.
REOPENS_PER_S = 100

HEADER = (f"OPTIONS sip:{LEG} SIP/2.0\r\nVia: SIP/2.0/TCP {NET}.66;branch=z9hG"
          "4bK1\r\nTo: <sip:a@example.com>\r\n").encode()
WITH_BODY = message(f"OPTIONS sip:{LEG} SIP/2.0", [
    f"Via: SIP/2.0/TCP {NET}.66;branch=z9hG4bK2", "Max-Forwards: 1",
    "From: <sip:a@example.com>;tag=1", "To: <sip:a@example.com>",
    "Call-ID: half", "CSeq: 1 OPTIONS"], b"x" * 4000)
# A record header that promises a handshake message, and a part of one.
HALF_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40)


class Attacker:
    """A connection that never asks a whole question."""

    # (over TLS, a handshake first, what is said at once, what drips after it)
    KINDS = (
        (False, False, b"", b""), (False, False, HEADER[:9], b""),
        (False, False, HEADER, b""), (False, False, HEADER[:1], HEADER[1:]),
        (False, False, WITH_BODY[:-4000], b"x" * 3999),
        (False, False, None, b""), (True, False, b"", b""),
        (True, False, HALF_HELLO, b""), (True, False, None, b""),
        (True, True, b"", b""), (True, True, HEADER, b""),
        (True, True, HEADER[:1], HEADER[1:]), (True, True, None, b""))

    def __init__(self, number: int, dice: random.Random):
        over_tls, shaken, first, self.drip = self.KINDS[
            number % len(self.KINDS)]
        self.number, self.has_body = number, first == WITH_BODY[:-4000]
        if first is None:
            first = dice.randbytes(dice.choice((1, 20, 300, 5000, 30_000)))
        # Not everybody from one address.
        self.sock = socket.create_connection(
            (LEG, TLS_PORT if over_tls else TCP_PORT), PATIENCE_S,
            (f"{NET}.{60 + number % 8}", 0))
        # It may be closed on us whatever we do.
        with contextlib.suppress(OSError):
            if shaken:
                self.sock = any_tls().wrap_socket(
                    self.sock, do_handshake_on_connect=False)
                self.sock.do_handshake()
            self.sock.setblocking(False)
            if first:
                self.sock.send(first)
        self.sock.setblocking(False)

    def drip_on(self) -> None:
        if self.drip:
            with contextlib.suppress(OSError):
                self.sock.send(self.drip[:1])
            self.drip = self.drip[1:]

    def is_closed(self) -> bool:
        try:
            return not self.sock.recv(65536)
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except OSError:
            return True


def loiter(seed: int) -> int:
    """ATTACKERS connections, each opened again some time after the server has
    closed it; how many there were. In the end the server has to close all but
    those of which it waits for a body."""
    dice = random.Random(seed)
    opened = 0
    to_open = collections.deque(range(ATTACKERS))
    next_open = next_drip = 0.0
    deadline = None
    with selectors.DefaultSelector() as waiting:
        while waiting.get_map() or deadline is None:
            now = time.monotonic()
            if hostile_test._stop.is_set():
                if deadline is None:
                    deadline = now + PATIENCE_S
                    # They would be waited for for half a minute.
                    for key in list(waiting.get_map().values()):
                        if key.data.has_body:
                            waiting.unregister(key.fileobj)
                            key.fileobj.close()
                assert now < deadline, "the server keeps them"
            # The first time without delay.
            while to_open and deadline is None and (
                    opened < ATTACKERS or now >= next_open):
                attacker = Attacker(to_open.popleft(), dice)
                waiting.register(attacker.sock, selectors.EVENT_READ, attacker)
                opened += 1
                next_open = time.monotonic() + 1 / REOPENS_PER_S
            if now >= next_drip:
                next_drip = now + 0.1
                for key in waiting.get_map().values():
                    key.data.drip_on()
            for key, _ in waiting.select(1 / REOPENS_PER_S):
                if key.data.is_closed():
                    waiting.unregister(key.fileobj)
                    key.fileobj.close()
                    to_open.append(key.data.number)
    return opened
