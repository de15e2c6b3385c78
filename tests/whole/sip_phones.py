"""What the programs with other people's phones share: a sluiced with four SIP
legs, the phones (Perl's Net::SIP, sipp, baresip) as processes of their own, and
the TestCase that starts and ends them."""

import contextlib
import json
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest
import unittest.mock

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import run_whole  # noqa: E402
from waiting import PATIENCE_S, wait_for  # noqa: E402

PASSWORDS = {"alice": "wonderland", "bob": "builder"}

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
[[sip.leg]]
name = "sixth"
listen = ["udp:[::1]:{sixth}", "tcp:[::1]:{sixth}"]
media = "six"
chain = ["authorize", "registrar", "proxy"]
[sip.registrar]
database = "{folder}/location.db"
[sip.auth]
users = "{folder}/users"
algorithms = {algorithms}
"""
# The legs, and where each listens.
LEGS = {"outside": "127.0.0.1", "inside": "127.0.0.2", "six": "::1",
        "sixth": "::1"}


def with_port(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


# Above what the kernel gives to connections, or one could take a port between
# the look at it and its use; a run and its neighbours seldom meet in it.
_PORTS = iter(random.sample(range(61000, 65528, 8), 566))


def free_port(address: str) -> int:
    """A port that is free for TCP and for UDP, as are the seven above it: phones
    take more than they are told (TLS, RTCP, video)."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for port in _PORTS:
        with contextlib.ExitStack() as probes, contextlib.suppress(OSError):
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                for offset in range(8):
                    probe = probes.enter_context(socket.socket(family, kind))
                    probe.bind((address, port + offset))
            return port
    raise AssertionError("no port is free")


class Daemon:
    """A sluiced that runs, with these legs."""

    def __init__(self, build: pathlib.Path, folder: pathlib.Path, ports: dict):
        self.build, self.folder, self.ports = build, folder, ports

    def ask(self, *verb: str):
        done = subprocess.run(
            [self.build / "tools/sluicectl", "-s",
             self.folder / "control.sock", "-o", "json", *verb],
            capture_output=True, timeout=PATIENCE_S)
        assert done.returncode == 0, (verb, done)
        return json.loads(done.stdout)

    def listener(self, leg: str) -> str:
        return with_port(LEGS[leg], self.ports[leg])

    def ports_taken(self) -> int:
        return sum(i["ports"]["taken"] for i in self.ask("status")["interfaces"])

    def call(self) -> dict | None:
        """The only call; None while there is not exactly one."""
        calls = self.ask("calls")["calls"]
        return self.ask("call", calls[0]["call_id"]) if len(calls) == 1 else None

    def voice(self) -> dict | None:
        """Both sides of its RTP, None before it has a session."""
        call = self.call()
        flows = [flow for session in (call["sessions"] if call else [])
                 for flow in session["flows"] if flow["kind"] == "rtp"]
        return flows[0]["sides"] if len(flows) == 1 else None

    def heard(self, packets: int) -> bool:
        """Both parties sent this many, and got what the other sent."""
        sides = self.voice()
        return bool(sides) and all(
            side[way] >= packets for side in sides.values()
            for way in ("packets_in", "packets_out"))


@contextlib.contextmanager
def daemon(build: pathlib.Path, relay: str = "",
           algorithms: tuple = ("SHA-256", "MD5")):
    """`relay`: more lines for [relay]."""
    with tempfile.TemporaryDirectory(prefix="sluice-sip-") as name:
        folder = pathlib.Path(name)
        users = folder / "users"
        users.write_text("".join(f"{user}:example.com:{word}\n"
                                 for user, word in PASSWORDS.items()))
        users.chmod(0o600)
        ports = {leg: free_port(host) for leg, host in LEGS.items()}
        sip = SIP.format(folder=folder, algorithms=json.dumps(algorithms),
                         **ports).replace("{", "{{").replace("}", "}}")
        config = run_whole.CONFIG.replace("[relay]\n", f"[relay]\n{relay}") + sip
        with unittest.mock.patch.object(run_whole, "CONFIG", config), \
                run_whole.daemon(build) as run:
            yield Daemon(build, run, ports)


class Program:
    """A process; what it says can be waited for."""

    def __init__(self, command: list, folder: pathlib.Path, at_end: int):
        """To end it, its input is closed and the signal `at_end` sent (0: none).
        """
        self.at_end = at_end
        with tempfile.NamedTemporaryFile(dir=folder, prefix="said-",
                                         delete=False) as said:
            self.said = pathlib.Path(said.name)
            self.process = subprocess.Popen(
                list(map(str, command)), stdin=subprocess.PIPE, stdout=said,
                stderr=subprocess.STDOUT, cwd=folder)
        self.seen = 0

    def text(self) -> str:
        return self.said.read_text(errors="replace")

    def expect(self, text: str) -> str:
        """The next line that has `text`."""
        def found():
            over = self.process.poll() is not None
            lines = self.text().split("\n")[:-1]
            for number, line in enumerate(lines[self.seen:], self.seen + 1):
                if text in line:
                    self.seen = number
                    return line
            if over:
                raise AssertionError(f"it ended without saying \"{text}\"")
            return None
        try:
            return wait_for(found, f"\"{text}\"")
        except AssertionError as failed:
            raise AssertionError(f"{failed}; {self.process.args[0]} said:\n"
                                 + self.text()[-4000:]) from None

    def press(self, key: str) -> None:
        """A line of input."""
        self.process.stdin.write(f"{key}\n".encode())
        self.process.stdin.flush()

    def ended(self) -> int:
        """Its exit status, once it has ended by itself."""
        wait_for(lambda: self.process.poll() is not None,
                 f"the end of {self.process.args}")
        return self.process.returncode

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """May be called again."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        if self.process.poll() is None:
            self.process.send_signal(self.at_end)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
        self.kill()


def have_perl() -> bool:
    return shutil.which("perl") is not None and subprocess.run(
        ["perl", "-MNet::SIP", "-e", "1"],
        stderr=subprocess.DEVNULL).returncode == 0


def have_raw_sockets() -> bool:
    """sipp plays its recordings through one."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP).close()
    except PermissionError:
        return False
    return True


needs_perl = unittest.skipUnless(have_perl(), "Net::SIP is not installed")
needs_sipp = unittest.skipUnless(shutil.which("sipp"), "sipp is not installed")


class Case(unittest.TestCase):
    """Each has a daemon and phones of its own."""
    build = pathlib.Path()
    config: dict = {}

    def setUp(self):
        self.daemon = self.enterContext(daemon(self.build, **self.config))

    def start(self, *command, at_end: int = signal.SIGTERM) -> Program:
        program = Program(list(command), self.daemon.folder, at_end)
        self.addCleanup(program.close)
        return program

    def agent(self, role: str, user: str, address: str, leg: str, *more,
              via: str = "", password: str = "") -> Program:
        """A sip_agent.pl; it leaves when its input ends."""
        return self.start(
            "perl", HERE / "sip_agent.pl", role,
            with_port(address, free_port(address)),
            f"sip:{self.daemon.listener(leg)}{via}", f"sip:{user}@example.com",
            password or PASSWORDS[user], *more, at_end=0)

    def all_ports_back(self) -> None:
        try:
            wait_for(lambda: self.daemon.ports_taken() == 0, "all ports back")
        except AssertionError as failed:
            raise AssertionError(f"{failed}; calls: "
                                 f"{self.daemon.ask('calls')}") from None


def main(program_doc: str) -> None:
    if len(sys.argv) < 2:
        sys.exit(program_doc)
    Case.build = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main(verbosity=1)
