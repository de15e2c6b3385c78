#!/usr/bin/env python3
"""baresip_test.py BUILD [CASE...]: two baresips call each other through us.

Goal: phones that know nothing of each other's leg register with digest, one
calls the other, each hears the other's tone, and what it hears went through our
shard; a call that is given up, refused or over leaves no port behind.
Method: each phone plays a sine of its own and records what it decodes; its
control socket presses the buttons and tells what happens."""

import array
import contextlib
import itertools
import json
import pathlib
import re
import shutil
import socket
import sys
import unittest
import wave

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import sip_phones  # noqa: E402
from sip_phones import (LEGS, PASSWORDS, PATIENCE_S, free_port,  # noqa: E402
                        wait_for, with_port)

TONES_HZ = {"alice": 440, "bob": 1000}
# Its media sockets have no address of their own, so what it sends comes from the
# one that the kernel takes for the way to the relay: the relay's.
HOSTS = {leg: host if ":" in host else "127.0.0.1"
         for leg, host in LEGS.items()}
PACKETS = 50  # a second of sound

CONFIG = """\
poll_method epoll
sip_listen {at}
net_interface {address}
rtp_ports 40000-49999
rtcp_mux no
call_local_timeout 120
call_max_calls 4
audio_source ausine,{tone}
audio_player aubridge,{user}
audio_alert aubridge,alert
ausrc_srate 48000
ausrc_channels 2
audio_txmode poll
snd_path {folder}
module_path {modules}
module g711.so
module ausine.so
module aubridge.so
module sndfile.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{control}
"""


def modules() -> str:
    """Where Debian puts them on this machine."""
    found = [*pathlib.Path("/usr/lib").glob("baresip/modules"),
             *pathlib.Path("/usr/lib").glob("*/baresip/modules")]
    return str(found[0]) if found else ""


class Phone:
    """A baresip in a folder of its own."""

    def __init__(self, case: sip_phones.Case, user: str, leg: str,
                 transport: str):
        self.user, self.case = user, case
        address = HOSTS[leg]
        self.folder = case.daemon.folder / user
        self.folder.mkdir()
        control = free_port("127.0.0.1")
        (self.folder / "config").write_text(CONFIG.format(
            at=with_port(address, free_port(address)), address=address,
            tone=TONES_HZ[user], user=user, folder=self.folder,
            modules=modules(), control=control))
        (self.folder / "contacts").touch()
        (self.folder / "accounts").write_text(
            f"<sip:{user}@example.com>;auth_pass={PASSWORDS[user]};regint=60;"
            f"outbound=\"sip:{case.daemon.listener(leg)};transport={transport}\";"
            "audio_codecs=pcmu;answermode=manual\n")
        self.program = case.start("baresip", "-f", self.folder, "-s")
        self.program.expect("baresip is ready")
        self.socket = socket.create_connection(("127.0.0.1", control),
                                               PATIENCE_S)
        case.addCleanup(self.socket.close)
        self.pending = b""
        self.program.expect("[1 binding]")

    def press(self, command: str, params: str = "") -> None:
        text = json.dumps({"command": command, "params": params}).encode()
        self.socket.sendall(b"%d:%s," % (len(text), text))

    def _next(self) -> dict | None:
        head = re.match(rb"(\d+):", self.pending)
        end = head.end() + int(head[1]) if head else 0
        if not head or len(self.pending) <= end:
            return None
        text, self.pending = self.pending[head.end():end], self.pending[end + 1:]
        return json.loads(text)

    def expect(self, event: str) -> dict:
        """The next of these events; what comes before it is passed over."""
        told = []
        while True:
            while (one := self._next()) is not None:
                told.append(one)
                if one.get("type") == event:
                    return one
            with contextlib.suppress(TimeoutError):
                if more := self.socket.recv(65536):
                    self.pending += more
                    continue
            raise AssertionError(f"no {event} at {self.user}: {told}\n"
                                 + self.program.text()[-4000:])

    def heard_hz(self) -> float:
        """The pitch of what it decoded; 0 while there is nothing."""
        record, = self.folder.glob("dump-*-dec.wav")
        with wave.open(str(record)) as sound:
            rate, frames = sound.getframerate(), sound.getnframes()
            samples = array.array("h", sound.readframes(frames))
        # It begins with what the jitter buffer held.
        voice = list(itertools.dropwhile(lambda sample: sample == 0, samples))
        rises = sum(a < 0 <= b for a, b in itertools.pairwise(voice))
        return rises * rate / len(voice) if voice else 0


@unittest.skipUnless(shutil.which("baresip"), "baresip is not installed")
class BaresipTest(sip_phones.Case):
    # Debian's gives up at the first challenge of an algorithm it does not know.
    config = {"algorithms": ("MD5",)}

    def phones(self, caller_leg: str, callee_leg: str, transport: str):
        return (Phone(self, "alice", caller_leg, transport),
                Phone(self, "bob", callee_leg, transport))

    def talk(self, caller_leg: str, callee_leg: str, transport: str = "udp"):
        alice, bob = self.phones(caller_leg, callee_leg, transport)
        alice.press("dial", "sip:bob@example.com")
        bob.expect("CALL_INCOMING")
        alice.expect("CALL_RINGING")
        bob.press("accept")
        bob.expect("CALL_ESTABLISHED")
        alice.expect("CALL_ESTABLISHED")
        return alice, bob

    def whole_call(self, *how: str):
        alice, bob = self.talk(*how)
        wait_for(lambda: self.daemon.heard(PACKETS), "sound both ways")
        for side in self.daemon.voice().values():
            self.assertEqual(side["latched_by"], "sdp")
            self.assertEqual(side["drops"], {})
        alice.press("hangup")
        alice.expect("CALL_CLOSED")
        bob.expect("CALL_CLOSED")
        self.all_ports_back()
        for phone, other in (alice, bob), (bob, alice):
            # The record is whole a moment after the call.
            wait_for(phone.heard_hz, "a record")
            self.assertAlmostEqual(phone.heard_hz(), TONES_HZ[other.user],
                                   delta=30)

    def test_carries_a_call_between_two_legs(self):
        self.whole_call("outside", "inside")

    def test_carries_it_over_tcp(self):
        self.whole_call("outside", "inside", "tcp")

    def test_carries_it_from_ipv6_to_ipv4(self):
        self.whole_call("six", "inside")

    def test_carries_it_on_one_leg_without_touching_the_media(self):
        alice, bob = self.talk("outside", "outside")
        self.assertEqual(self.daemon.ask("calls")["calls"], [])
        alice.press("hangup")
        bob.expect("CALL_CLOSED")

    def test_stops_ringing_when_the_caller_gives_up(self):
        alice, bob = self.phones("outside", "inside", "udp")
        alice.press("dial", "sip:bob@example.com")
        bob.expect("CALL_INCOMING")
        alice.expect("CALL_RINGING")
        self.assertGreater(self.daemon.ports_taken(), 0)
        alice.press("hangup")
        bob.expect("CALL_CLOSED")
        alice.program.expect("487 Request Terminated")
        self.all_ports_back()

    def test_tells_the_caller_of_a_refusal(self):
        alice, bob = self.phones("outside", "inside", "udp")
        alice.press("dial", "sip:bob@example.com")
        bob.expect("CALL_INCOMING")
        bob.press("hangup")
        self.assertIn("486", alice.expect("CALL_CLOSED")["param"])
        self.all_ports_back()


if __name__ == "__main__":
    sip_phones.main(__doc__)
