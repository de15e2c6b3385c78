"""A sluiced with SIP legs for the whole-program tests: started, asked, ended
hard and started again; and the few lines of SIP that its neighbours speak."""

import json
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import run_whole  # noqa: E402
from waiting import PATIENCE_S, wait_for  # noqa: E402

# Addresses of this process alone, so that two runs on a machine do not meet.
NET = f"127.{os.getpid() >> 8 & 0x7f | 0x40}.{os.getpid() & 0xff}"
# The first leg of every test, at an address of its own: no port is ever taken.
LEG = f"{NET}.100"
UDP_PORT = TCP_PORT = 5060
TLS_PORT = 5061
SEED = int(os.environ.get("SLUICE_SEED", time.time_ns() & 0xffffffff))


def percentile(values, share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


class Daemon:
    """Use it in a `with`; there it is ready, and at the end of it stopped in
    good order."""

    def __init__(self, build: pathlib.Path, sip: str, relay: str = ""):
        """`sip`: its legs and what belongs to them, `relay`: lines for [relay];
        {folder} in the former is the daemon's."""
        self.build = build
        self._temporary = tempfile.TemporaryDirectory(prefix="sluice-sip-")
        self.folder = pathlib.Path(self._temporary.name)
        self.unix = str(self.folder / "nathelper.sock")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.http_port = probe.getsockname()[1]
        config = run_whole.CONFIG.format(folder=self.folder, engine="auto",
                                         http_port=self.http_port)
        self._config = self.folder / "sluice.toml"
        self._config.write_text(
            config.replace("[relay]\n", "[relay]\n" + relay) +
            sip.replace("{folder}", str(self.folder)))
        self._process = None
        self.starts = 0

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self._end()
            raise
        return self

    def start(self) -> float:
        """Seconds until it was ready."""
        self.starts += 1
        log = self.folder / f"log{self.starts}"
        begun = time.monotonic()
        with open(log, "wb") as out:
            self._process = subprocess.Popen(
                [self.build / "tools/sluiced", "--config", self._config],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self.pid = self._process.pid

        def is_ready() -> bool:
            said = log.read_text(errors="replace")
            assert self._process.poll() is None, said
            return "ready" in said.split()
        wait_for(is_ready, "sluiced is ready")
        took = time.monotonic() - begun
        # A question opens what stays open.
        self.ask("status")
        self.fds_at_start, self.peak_at_start_kib = self.fds(), self.peak_kib()
        return took

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """As an operator does; it has to end well."""
        self._process.send_signal(signal.SIGTERM)
        status = self._process.wait(PATIENCE_S)
        assert status == 0, f"sluiced, told to stop: {status}\n{self.log()}"

    def _end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()
        self._temporary.cleanup()

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                assert self._process.poll() is None, self.log()
                self.stop()
        finally:
            self._end()

    def log(self) -> str:
        return (self.folder / f"log{self.starts}").read_text(errors="replace")

    def ask(self, *verb):
        done = subprocess.run(
            [self.build / "tools/sluicectl", "-s", self.folder / "control.sock",
             "-o", "json", *map(str, verb)], capture_output=True,
            timeout=PATIENCE_S)
        assert done.returncode == 0, (verb, done, self.log()[-2000:])
        return json.loads(done.stdout)

    def fds(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def _memory_kib(self, name: str) -> int:
        text = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"^{name}:\s+(\d+)", text, re.M)[1])

    def peak_kib(self) -> int:
        return self._memory_kib("VmHWM")

    def now_kib(self) -> int:
        return self._memory_kib("VmRSS")

    def leg(self, number: int = 0) -> dict:
        return self.ask("legs")["legs"][number]

    def counters(self) -> dict:
        """What the SIP side counts: names without their prefix, a drop by its
        reason; all legs together."""
        url = f"http://127.0.0.1:{self.http_port}/metrics"
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            text = answer.read().decode()
        found = {}
        for name, labels, value in re.findall(
                r"^sluice_sip_(\w+)_total(?:\{(.*)\})? (\S+)$", text, re.M):
            if reason := re.search(r'reason="(\w+)"', labels):
                name = "drop " + reason[1]
            found[name] = found.get(name, 0) + int(float(value))
        return found


def books(numbers: dict) -> tuple[int, int]:
    """(messages that came, messages of which it is known what became of them):
    the same once nothing is under way."""
    came = numbers["requests_in"] + numbers["responses_in"]
    went = numbers["requests_forwarded"] + numbers["responses_forwarded"] + \
        numbers["replies"]
    return came, went + sum(value for name, value in numbers.items()
                            if name.startswith("drop "))


def message(start: str, headers: list[str], body: bytes = b"") -> bytes:
    return "\r\n".join([start, *headers, f"Content-Length: {len(body)}", "",
                        ""]).encode() + body


def value_of(octets: bytes, name: str) -> str:
    """The first header of that name, "" without one."""
    found = re.search(rb"\r\n" + name.encode() + rb"[ \t]*:[ \t]*([^\r]*)\r\n",
                      octets, re.I)
    return found[1].decode("latin-1") if found else ""


class Pinger:
    """Asks a leg, by UDP, whether it is there."""

    def __init__(self, leg: str = LEG, local: str = f"{NET}.99"):
        self.leg, self.local, self.asked = leg, local, 0
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((local, 0))
        self.sock.settimeout(PATIENCE_S)
        self.port = self.sock.getsockname()[1]

    def ping(self) -> None:
        """What was sent to the leg before it has been handled afterwards."""
        self.asked += 1
        self.sock.sendto(message(f"OPTIONS sip:{self.leg} SIP/2.0", [
            f"Via: SIP/2.0/UDP {self.local}:{self.port};"
            f"branch=z9hG4bKping{self.asked}", "Max-Forwards: 70",
            f"From: <sip:ping@{self.local}>;tag=1", f"To: <sip:{self.leg}>",
            f"Call-ID: ping-{self.asked}@{self.local}",
            f"CSeq: {self.asked} OPTIONS"]), (self.leg, UDP_PORT))
        answer = self.sock.recv(65536)
        assert answer.startswith(b"SIP/2.0 200 "), answer
        assert f"ping-{self.asked}@".encode() in answer, answer

    def close(self) -> None:
        self.sock.close()


def make_certificate(folder: pathlib.Path, *addresses) -> tuple[str, str]:
    """(file of a certificate for these addresses, file of its key)."""
    certificate, key = str(folder / "certificate"), str(folder / "key")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
         "/CN=sluice", "-addext",
         "subjectAltName=" + ",".join(f"IP:{a}" for a in addresses), "-keyout",
         key, "-out", certificate], check=True, stderr=subprocess.DEVNULL)
    return certificate, key


def any_tls() -> ssl.SSLContext:
    """Of a client that does not care whom it talks to."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def run_tests(module_name: str, usage: str, set_build) -> int:
    """The main() of a test program: exit status."""
    if len(sys.argv) < 2:
        print(usage)
        return 2
    set_build(pathlib.Path(sys.argv[1]).resolve())
    module = sys.modules[module_name]
    loader = unittest.defaultTestLoader
    suite = loader.loadTestsFromNames(sys.argv[2:], module) \
        if sys.argv[2:] else loader.loadTestsFromModule(module)
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    # A test may fail in several of its parts.
    failed = len({getattr(test, "test_case", test).id()
                  for test, _ in result.failures + result.errors})
    skipped = len(result.skipped)
    print(f"{result.testsRun - failed - skipped} passed, {failed} failed" +
          (f", {skipped} skipped" if skipped else ""))
    return 1 if failed else 0
