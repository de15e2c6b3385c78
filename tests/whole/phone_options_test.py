#!/usr/bin/env python3
"""phone_options_test.py BUILD [CASE...]: options of sluicephone that no other
program needs.

Goal: names, passwords and contacts are what the command line says, --latch
sends media to where it comes from, TLS is spoken with who is believed, and
every further interrupt is more impatient.
Method: a peer made of a socket that says where its media is not, and that looks
at what it is sent; a sluiced that says who is registered."""

import contextlib
import hashlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import phone_world  # noqa: E402
import sip_phones  # noqa: E402
from phone_world import PACKET, result_of  # noqa: E402
from sip_phones import PASSWORDS, PATIENCE_S, wait_for  # noqa: E402
from sip_world import make_certificate, message, value_of  # noqa: E402

HOST = "127.0.0.1"
ELSEWHERE = "127.0.0.5"
PACKETS = 10


class Peer:
    """Speaks SIP by hand. To be closed."""

    def __init__(self):
        self.sip, self.promised, self.media = map(
            self.socket, (HOST, HOST, ELSEWHERE))
        self.at = f"{HOST}:{self.sip.getsockname()[1]}"

    @staticmethod
    def socket(address: str) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((address, 0))
        made.settimeout(PATIENCE_S)
        return made

    def close(self) -> None:
        for each in self.sip, self.promised, self.media:
            each.close()

    def request(self, method: str) -> bytes:
        """The next one; others, and what is repeated, are passed over."""
        while True:
            octets, self.phone = self.sip.recvfrom(65536)
            if octets.startswith(method.encode() + b" "):
                return octets

    def answer(self, request: bytes, line: str, *headers: str,
               body: bytes = b"") -> None:
        copied = [f"{name}: {value_of(request, name)}"
                  for name in ("Via", "From", "Call-ID", "CSeq")]
        to = value_of(request, "To")
        self.sip.sendto(message(f"SIP/2.0 {line}", [
            *copied, f"To: {to}" + ("" if ";tag=" in to else ";tag=peer"),
            f"Contact: <sip:peer@{self.at}>", *headers], body), self.phone)

    def accept(self, invite: bytes) -> tuple[str, int]:
        """Where the caller's media is; ours is said to be at `promised`."""
        port = self.promised.getsockname()[1]
        self.answer(invite, "200 OK", "Content-Type: application/sdp", body=(
            f"v=0\r\no=- 1 1 IN IP4 {HOST}\r\ns=-\r\nc=IN IP4 {HOST}\r\n"
            f"t=0 0\r\nm=audio {port} RTP/AVP 0\r\n").encode())
        return HOST, int(re.search(rb"m=audio (\d+) ", invite)[1])

    def speak(self, where: tuple[str, int]) -> None:
        for number in range(PACKETS):
            self.media.sendto(
                bytes([0x80, 0]) + number.to_bytes(2, "big") +
                (number * PACKET).to_bytes(4, "big") + b"peer" +
                b"\xff" * PACKET, where)


class LatchTest(phone_world.Case):
    def call(self, *words) -> tuple[dict, Peer]:
        """Its media is elsewhere than it says; who heard ours is to be seen."""
        peer = Peer()
        self.addCleanup(peer.close)
        phone = self.phone("call", f"sip:peer@{peer.at}", "--leg", self.leg(),
                           "--tone", 440, *words)
        where = peer.accept(peer.request("INVITE"))
        peer.request("ACK")
        # What it says first goes where it was promised.
        peer.promised.recv(65536)
        peer.speak(where)
        if words:
            peer.media.recv(65536)
        else:
            for _ in range(2 * PACKETS):
                peer.promised.recv(65536)
            peer.media.setblocking(False)
            self.assertRaises(BlockingIOError, peer.media.recv, 65536)
        phone.interrupt()
        peer.answer(peer.request("BYE"), "200 OK")
        return phone.call()

    def test_goes_to_where_media_comes_from(self):
        call = self.call("--latch")
        self.assertEqual(call["received"], PACKETS)
        self.assertEqual(call["drops"]["strangers"], 0)

    def test_stays_where_it_was_promised_without_it(self):
        call = self.call()
        self.assertEqual(call["received"], 0)
        self.assertEqual(call["drops"]["strangers"], PACKETS)


class AccountTest(phone_world.Case):
    """At a registrar that looks at what it is sent."""

    def setUp(self):
        super().setUp()
        self.peer = Peer()
        self.addCleanup(self.peer.close)

    def register(self, *words) -> bytes:
        phone = self.phone("register", "--registrar", f"sip:{self.peer.at}",
                           "--leg", self.leg(), *words)
        request = self.peer.request("REGISTER")
        if any(word.startswith("--password") for word in words):
            self.peer.answer(request, "401 Unauthorized",
                             'WWW-Authenticate: Digest realm="r", nonce="n"')
            while not value_of(request, "Authorization"):
                request = self.peer.request("REGISTER")
        self.peer.answer(request, "200 OK", "Expires: 60")
        self.assertTrue(phone.result()["registration"]["ok"])
        return request

    @staticmethod
    def response(user: str, password: str, uri: str) -> str:
        """RFC 2617, without qop."""
        def md5(text: str) -> str:
            return hashlib.md5(text.encode()).hexdigest()
        return md5(f"{md5(f'{user}:r:{password}')}:n:"
                   f"{md5(f'REGISTER:{uri}')}")

    def signed_by(self, request: bytes, user: str, password: str) -> None:
        sent = dict(re.findall(r'(\w+)="([^"]*)"',
                               value_of(request, "Authorization")))
        self.assertEqual(sent["username"], user)
        self.assertEqual(sent["response"],
                         self.response(user, password, sent["uri"]))

    def test_signs_as_who_it_registers(self):
        self.signed_by(self.register("--user", "bob@example.com", "--password",
                                     "builder"), "bob", "builder")

    def test_signs_as_another(self):
        request = self.register("--user", "bob@example.com", "--auth-user",
                                "carol", "--password", "builder")
        self.signed_by(request, "carol", "builder")
        self.assertIn("<sip:bob@example.com>", value_of(request, "To"))

    def test_takes_the_first_line_of_a_file(self):
        word = self.folder / "word"
        word.write_bytes(b"first line\r\nsecond\n")
        self.signed_by(self.register("--user", "bob@example.com",
                                     "--password-file", str(word)),
                       "bob", "first line")

    def test_completes_names_with_the_domain(self):
        request = self.register("--user", "bob", "--domain", "example.org")
        for name in "From", "To":
            self.assertIn("<sip:bob@example.org>", value_of(request, name))

    def test_completes_whom_it_calls_with_the_domain(self):
        phone = self.phone("call", "carol", "--user", "bob", "--domain",
                           "example.org", "--proxy", f"sip:{self.peer.at}",
                           "--leg", self.leg())
        invite = self.peer.request("INVITE")
        self.assertTrue(invite.startswith(b"INVITE sip:carol@example.org "))
        self.assertIn("<sip:bob@example.org>", value_of(invite, "From"))
        self.peer.answer(invite, "404 Not Found")
        self.assertEqual(phone.call(1)["code"], 404)

    def test_is_to_be_reached_where_it_says(self):
        contact = "sip:bob@192.0.2.7:5099"
        request = self.register("--user", "bob@example.com", "--contact",
                                contact)
        self.assertIn(f"<{contact}>", value_of(request, "Contact"))
        phone = self.phone("call", f"sip:peer@{self.peer.at}", "--contact",
                           contact, "--leg", self.leg())
        invite = self.peer.request("INVITE")
        self.assertIn(f"<{contact}>", value_of(invite, "Contact"))
        self.peer.answer(invite, "486 Busy Here")
        self.assertEqual(phone.call(1)["code"], 486)


class PasswordTest(sip_phones.Case):
    def register(self, *words, **how) -> subprocess.CompletedProcess:
        return subprocess.run(
            [self.build / "tools/sluicephone", "register", "--user",
             "bob@example.com", "--proxy",
             f"sip:{self.daemon.listener('inside')}", "--leg",
             "udp:127.0.0.1:0", *words], capture_output=True, text=True,
            timeout=PATIENCE_S, **{"input": "", **how})

    def test_comes_from_where_it_may(self):
        word = PASSWORDS["bob"]
        ways = {
            "--password": self.register("--password", word),
            "standard input": self.register("--password-file", "-",
                                            input=f"{word}\n"),
            "environment": self.register(env={**os.environ,
                                              "SLUICEPHONE_PASSWORD": word})}
        for way, done in ways.items():
            with self.subTest(way):
                self.assertEqual(done.returncode, 0, done)
        self.assertEqual(self.register().returncode, 1)

    def test_is_not_taken_from_nowhere(self):
        (self.daemon.folder / "empty").touch()
        for words, told in (
                (("--password-file", "/nowhere"), "cannot read /nowhere"),
                (("--password-file", str(self.daemon.folder / "empty")),
                 "is empty"),
                (("--password", "x", "--password-file", "y"), "one of them")):
            with self.subTest(told):
                done = self.register(*words)
                self.assertEqual(done.returncode, 2, done)
                self.assertIn(told, done.stderr)


class TlsTest(phone_world.Case):
    def answering(self) -> tuple:
        """A phone, and how it is called."""
        self.certificate, key = make_certificate(self.folder, HOST)
        self.own = ("--leg", self.leg("tls"), "--tls-certificate",
                    self.certificate, "--tls-key", key)
        bob = self.phone("answer", *self.own, "--count", 1, "--record",
                         "bob.pcmu", "--play", "play.pcmu", "--repeat", 0)
        return bob, f"sip:bob@{bob.at('tls')};transport=tls"

    def test_calls_whom_it_trusts(self):
        played = self.sound()
        bob, where = self.answering()
        alice = self.phone("call", where, *self.own, "--tls-ca",
                           self.certificate, "--play", "play.pcmu", "--repeat",
                           2, "--record", "alice.pcmu")
        for call in alice.call(), bob.call():
            self.no_loss(call)
            self.assertEqual(call["code"], 200)
        self.heard_all(2 * played, "bob.pcmu")
        self.heard_all(played, "alice.pcmu")

    def test_does_not_call_whom_it_does_not(self):
        self.sound()
        bob, where = self.answering()
        # The system's; this certificate is nobody's but its own.
        call = self.phone("call", where, *self.own).call(3)
        self.assertFalse(call["established"])
        bob.interrupt()
        self.assertEqual(bob.result()["calls"], [])

    def test_does_not_begin_without_its_key(self):
        certificate, _ = make_certificate(self.folder, HOST)
        done = result_of(self.build, "answer", "--leg", self.leg("tls"),
                         "--tls-certificate", certificate)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("key", done.stderr)


def signals(process: subprocess.Popen, kind: str) -> bool:
    """Whether SIGINT is among these of the process."""
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    mask = int(re.search(rf"^{kind}:\s+([0-9a-f]+)$", status, re.M)[1], 16)
    return bool(mask & 1 << signal.SIGINT - 1)


class InterruptTest(phone_world.Case):
    """In a call whose other end says nothing more."""

    def setUp(self):
        super().setUp()
        self.peer = Peer()
        self.addCleanup(self.peer.close)

    def talking(self, *words, out=subprocess.PIPE) -> subprocess.Popen:
        # Not by way of a shell: which is the phone's process has to be known.
        phone = self.enterContext(subprocess.Popen(
            [self.build / "tools/sluicephone", "call", f"sip:x@{self.peer.at}",
             "--leg", self.leg(), "-o", "json", *words],
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE,
            text=True))
        self.addCleanup(phone.kill)
        if "--register" in words:
            self.peer.answer(self.peer.request("REGISTER"), "200 OK",
                             "Expires: 60")
        self.peer.accept(self.peer.request("INVITE"))
        self.assertTrue(any("established" in line for line in phone.stderr))
        return phone

    @staticmethod
    def interrupt(phone: subprocess.Popen) -> None:
        """Once it has arrived the next one is another."""
        phone.send_signal(signal.SIGINT)
        wait_for(lambda: not signals(phone, "ShdPnd"), "an interrupt")

    def twice(self, phone: subprocess.Popen) -> None:
        self.interrupt(phone)
        self.peer.request("BYE")
        self.assertTrue(signals(phone, "SigCgt"))
        self.interrupt(phone)

    def test_second_waits_for_no_goodbye(self):
        phone = self.talking("--register", "--user", "a@example.com",
                             "--registrar", f"sip:{self.peer.at}")
        self.twice(phone)
        result = json.loads(phone.stdout.read())
        self.assertEqual(phone.wait(PATIENCE_S), 0)
        self.assertEqual(result["calls"][0]["ended_by"], "us")
        # One that had waited would have taken its registration back.
        self.assertFalse(result["registration"]["removed"])
        self.peer.sip.setblocking(False)
        self.assertRaises(BlockingIOError, self.peer.request, "REGISTER")

    def test_says_that_its_result_could_not_be_written(self):
        with open("/dev/full", "wb") as full:
            phone = self.talking(out=full)
        self.interrupt(phone)
        self.peer.answer(self.peer.request("BYE"), "200 OK")
        said = phone.stderr.read()
        self.assertEqual(phone.wait(PATIENCE_S), 1)
        self.assertIn("the result could not be written", said)

    def test_third_ends_it_whatever_it_does(self):
        # It cannot get rid of its result.
        unread, full = os.pipe()
        self.addCleanup(os.close, unread)
        os.set_blocking(full, False)
        with contextlib.suppress(BlockingIOError):
            while os.write(full, bytes(4096)):
                pass
        os.set_blocking(full, True)
        phone = self.talking(out=full)
        os.close(full)
        self.twice(phone)
        wait_for(lambda: not signals(phone, "SigCgt"), "the second interrupt")
        self.assertIsNone(phone.poll())
        phone.send_signal(signal.SIGINT)
        self.assertEqual(phone.wait(PATIENCE_S), -signal.SIGINT)


if __name__ == "__main__":
    sip_phones.main(__doc__)
