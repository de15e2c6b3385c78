#!/usr/bin/env python3
"""sip_test.py BUILD [CASE...]: other people's phones, through us.

Goal: phones of other people's making register with us on different legs, call
each other through us, and their media goes through our shards: Perl's Net::SIP
agents and sipp, over UDP and TCP, IPv4 and IPv6, on one leg and on two.
Method: a sluiced with two SIP legs, phones as processes of their own; what they
tell, and what the daemon tells of the call, is held against each other."""

import contextlib
import json
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import run_whole  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path()
# Only so that a hang ends: nothing takes long on a quiet machine.
PATIENCE_S = 40
PACKETS = 50  # a second of sound

SIP = """
[[relay.interface]]
name = "six"
address = "::1"
[sip]
domains = ["example.com"]
key_file = "{folder}/sip.key"
[[sip.leg]]
name = "outside"
listen = ["udp:127.0.0.1:{outside}", "tcp:127.0.0.1:{outside}"]
chain = ["authorize", "registrar", "proxy"]
[[sip.leg]]
name = "inside"
listen = ["udp:127.0.0.2:{inside}", "tcp:127.0.0.2:{inside}"]
domains = ["127.0.0.31"]
chain = ["authorize", "registrar", "proxy"]
[[sip.leg]]
name = "six"
listen = ["udp:[::1]:{six}", "tcp:[::1]:{six}"]
media = "six"
chain = ["authorize", "registrar", "proxy"]
[sip.registrar]
database = "{folder}/location.db"
[sip.auth]
users = "{folder}/users"
"""
USERS = """\
alice:example.com:wonderland
bob:example.com:builder
"""


def free_port(address: str) -> int:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as tcp:
        tcp.bind((address, 0))
        port = tcp.getsockname()[1]
    return port


class Daemon:
    """A sluiced with three legs."""

    def __init__(self, folder: pathlib.Path, ports: dict):
        self.folder, self.ports = folder, ports

    def ask(self, *verb: str):
        done = subprocess.run(
            [BUILD / "tools/sluicectl", "-s", self.folder / "control.sock",
             "-o", "json", *verb], capture_output=True, timeout=PATIENCE_S)
        assert done.returncode == 0, (verb, done)
        return json.loads(done.stdout)

    def proxy(self, leg: str) -> str:
        host = {"outside": "127.0.0.1", "inside": "127.0.0.2",
                "six": "[::1]"}[leg]
        return f"sip:{host}:{self.ports[leg]}"

    def ports_taken(self) -> int:
        return sum(i["ports"]["taken"] for i in self.ask("status")["interfaces"])


@contextlib.contextmanager
def daemon():
    with tempfile.TemporaryDirectory(prefix="sluice-sip-") as name:
        folder = pathlib.Path(name)
        (folder / "users").write_text(USERS)
        (folder / "users").chmod(0o600)
        ports = {"outside": free_port("127.0.0.1"),
                 "inside": free_port("127.0.0.2"), "six": free_port("::1")}
        config = run_whole.CONFIG + SIP.format(folder=folder, **ports).replace(
            "{", "{{").replace("}", "}}")
        with unittest.mock.patch.object(run_whole, "CONFIG", config), \
                run_whole.daemon(BUILD) as run:
            yield Daemon(run, ports)


class Phone:
    """A sip_agent.pl; its lines are read as they come."""

    def __init__(self, role: str, address: str, proxy: str, user: str,
                 password: str, *more):
        self.process = subprocess.Popen(
            ["perl", HERE / "sip_agent.pl", role, address, proxy,
             f"sip:{user}@example.com", password, *map(str, more)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True)
        self.lines: list[str] = []

    def expect(self, text: str) -> str:
        """The next line that has `text`."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            line = self.process.stdout.readline()
            if not line:
                break
            self.lines.append(line.rstrip())
            if text in line:
                return line.rstrip()
        raise AssertionError(f"no \"{text}\" from the phone; it said: "
                             + "\n".join(self.lines))

    def close(self) -> None:
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def have_perl() -> bool:
    return subprocess.run(["perl", "-MNet::SIP", "-e", "1"],
                          stderr=subprocess.DEVNULL).returncode == 0


class SipTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = contextlib.ExitStack()
        cls.daemon = cls.stack.enter_context(daemon())

    @classmethod
    def tearDownClass(cls):
        cls.stack.close()

    def wait_for(self, condition, what: str):
        deadline = time.monotonic() + PATIENCE_S
        while not (answer := condition()):
            self.assertLess(time.monotonic(), deadline, f"in vain: {what}")
            time.sleep(0.05)
        return answer

    def phone(self, *arguments) -> Phone:
        phone = Phone(*arguments)
        self.addCleanup(phone.close)
        return phone

    def whole_call(self, caller_leg: str, callee_leg: str, via: str = ""):
        """A registers on one leg, B on the other, A calls B."""
        # Net::SIP's phones take port 5060, so no two are at one address.
        callers = {"outside": "127.0.0.11", "inside": "127.0.0.12",
                   "six": "::1"}
        callees = {"outside": "127.0.0.21", "inside": "127.0.0.22"}
        bob = self.phone("callee", callees[callee_leg],
                         self.daemon.proxy(callee_leg) + via, "bob", "builder")
        bob.expect("registered 60")
        bob.expect("ready")
        alice = self.phone("caller", callers[caller_leg],
                           self.daemon.proxy(caller_leg) + via, "alice",
                           "wonderland", "sip:bob@example.com", PACKETS)
        alice.expect("registered 60")
        told = alice.expect("established, media to")
        alice.expect(f"echoed {PACKETS} wrong 0")
        alice.expect("hold OK")
        alice.expect("resume OK")
        alice.expect("hung up")
        bob.expect("bye")
        self.wait_for(lambda: self.daemon.ports_taken() == 0,
                      "all ports back after the BYE")
        return told

    def ours(self, told: str, address: str) -> None:
        host, port = told.rsplit(" ", 1)[1].split(",")[0].rsplit(":", 1)
        self.assertEqual(host, address)
        self.assertTrue(10000 <= int(port) <= 32767, told)

    @unittest.skipUnless(have_perl(), "Net::SIP is not installed")
    def test_carries_a_call_of_perl_agents_between_two_legs(self):
        self.ours(self.whole_call("outside", "inside"), "127.0.0.1")

    @unittest.skipUnless(have_perl(), "Net::SIP is not installed")
    def test_carries_it_on_one_leg_without_touching_the_media(self):
        told = self.whole_call("outside", "outside")
        self.assertIn("to 127.0.0.21:", told)

    @unittest.skipUnless(have_perl(), "Net::SIP is not installed")
    def test_carries_it_over_tcp(self):
        self.ours(self.whole_call("outside", "inside", ";transport=tcp"),
                  "127.0.0.1")

    @unittest.skipUnless(have_perl(), "Net::SIP is not installed")
    def test_carries_it_from_ipv6_to_ipv4(self):
        self.ours(self.whole_call("six", "inside"), "::1")

    @unittest.skipUnless(have_perl(), "Net::SIP is not installed")
    def test_refuses_a_wrong_password(self):
        phone = self.phone("callee", "127.0.0.1", self.daemon.proxy("outside"),
                           "bob", "wrong")
        phone.expect("registered not")

    @unittest.skipUnless(shutil.which("sipp"), "sipp is not installed")
    def test_carries_calls_of_sipp(self):
        calls = 20
        port = free_port("127.0.0.31")
        uas = subprocess.Popen(
            ["sipp", "-sn", "uas", "-i", "127.0.0.31", "-p", str(port),
             "-nostdin", "-rtp_echo", "-mi", "127.0.0.31"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, cwd=self.daemon.folder)
        self.addCleanup(uas.wait)
        self.addCleanup(uas.kill)
        outside = self.daemon.proxy("outside")[len("sip:"):]
        uac = subprocess.run(
            ["sipp", "-sn", "uac", "-i", "127.0.0.1", "-p",
             str(free_port("127.0.0.1")), "-nostdin", "-m", str(calls), "-r",
             "20", "-rsa", outside, "-timeout", f"{PATIENCE_S}s",
             f"127.0.0.31:{port}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, cwd=self.daemon.folder, text=True,
            timeout=2 * PATIENCE_S)
        # 0: every call ended as its scenario wants.
        self.assertEqual(uac.returncode, 0, uac.stdout[-2000:])
        self.wait_for(lambda: self.daemon.ports_taken() == 0,
                      "all ports back after the BYEs")

    def test_tells_of_legs_and_metrics(self):
        legs = self.daemon.ask("legs")
        self.assertEqual([leg["name"] for leg in legs["legs"]],
                         ["outside", "inside", "six"])


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    BUILD = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main(verbosity=1)
