"""The relays that bench/compare measures: how each is started on a core, how its
calls are set up, how it is stopped. Every relay is a process of our own, on ports
of our own; no system service is touched."""

import json
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import ng

START_S = 20


class RelayError(Exception):
    pass


class Relay:
    """Something that relays. `start` returns the arguments that make sluiceload
    send through it."""

    def __init__(self, name: str, build: pathlib.Path, core: int):
        self.name, self.build, self.core = name, build, core
        self.process = None
        self.folder = None

    def start(self, plan: list[tuple[str, str]]) -> list[str]:
        raise NotImplementedError

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process else None

    def stop(self) -> None:
        if self.process is not None:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGTERM)
                try:
                    self.process.wait(10)
                except subprocess.TimeoutExpired:
                    self.process.kill()
            self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe:
                    pipe.close()
        self.process = None
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    # -- for those below --

    def make_folder(self) -> pathlib.Path:
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="compare-"))
        return self.folder

    def spawn(self, command: list, **options) -> None:
        """Runs it on the relay's core, with what it says kept for errors."""
        if self.folder is None:
            self.make_folder()
        self.log = self.folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["taskset", "-c", str(self.core), *map(str, command)],
                stderr=log, **({"stdout": log, "stdin": subprocess.DEVNULL}
                               | options))

    def wait_until(self, ready, what: str) -> None:
        deadline = time.monotonic() + START_S
        while not ready():
            if self.process.poll() is not None:
                raise RelayError(f"{self.name} ended with status "
                                 f"{self.process.returncode}: {self.said()}")
            if time.monotonic() > deadline:
                raise RelayError(f"{self.name}: {what} took more than "
                                 f"{START_S} s: {self.said()}")
            time.sleep(0.02)

    def said(self) -> str:
        return self.log.read_text(errors="replace").strip()[-600:]


def free_port(kind=socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def connects(family, address) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as s:
        try:
            s.connect(address)
            return True
        except OSError:
            return False


def need(program: str, package: str) -> str:
    found = shutil.which(program)
    if not found:
        raise RelayError(f"{program} is not installed (Debian package "
                         f"{package})")
    return found


class Sluiced(Relay):
    def __init__(self, name, build, core, engine: str, batch_wait_us: int = 0):
        super().__init__(name, build, core)
        self.engine, self.batch_wait_us = engine, batch_wait_us

    def start(self, plan):
        folder = self.make_folder()
        rpc = folder / "nathelper.sock"
        # Ports below the kernel's own range for outgoing connections.
        (folder / "sluiced.toml").write_text(f"""
[log]
level = "warn"
[relay]
shards = 1
engine = "{self.engine}"
ports = [10000, 31999]
batch_wait_us = {self.batch_wait_us}
[[relay.interface]]
name = "default"
address = "127.0.0.1"
[nathelper]
listen = ["unix:{rpc}"]
[http]
listen = ""
[control]
socket = "{folder / 'control.sock'}"
""")
        self.spawn([self.build / "tools/sluiced", "--config",
                    folder / "sluiced.toml"])
        self.wait_until(lambda: connects(socket.AF_UNIX, str(rpc)), "the start")
        return ["--rpc", f"unix:{rpc}", "--sessions", str(len(plan))]


class Perl(Relay):
    """Net::SIP::NATHelper::Server as the package's own nathelper.pl runs it."""

    SERVER = ("use Net::SIP::NATHelper::Server; use IO::Socket::INET;"
              "my $s = IO::Socket::INET->new(LocalAddr => '127.0.0.1',"
              " LocalPort => $ARGV[0], Listen => 128, Reuse => 1) or die $!;"
              "Net::SIP::NATHelper::Server->new($s)->loop;")

    def start(self, plan):
        perl = need("perl", "perl")
        if subprocess.run([perl, "-MNet::SIP::NATHelper::Server", "-e", "1"],
                          stderr=subprocess.DEVNULL).returncode != 0:
            raise RelayError("Net::SIP is not installed (Debian package "
                             "libnet-sip-perl)")
        port = free_port()
        self.spawn([perl, "-e", self.SERVER, str(port)])
        # A connection that says nothing stops the whole helper until it is
        # closed, which ours is at once.
        self.wait_until(
            lambda: connects(socket.AF_INET, ("127.0.0.1", port)), "the start")
        return ["--rpc", f"tcp:127.0.0.1:{port}", "--parallel", "1",
                "--sessions", str(len(plan))]


class Elsewhere(Relay):
    """A relay whose calls are set up by us, not by sluiceload."""

    def endpoints(self, sessions: list[dict]) -> list[str]:
        file = self.folder / "endpoints.json"
        file.write_text(json.dumps({"sessions": sessions}))
        return ["--endpoints", str(file)]


class Rtpengine(Elsewhere):
    def start(self, plan):
        program = need("rtpengine", "rtpengine-daemon")
        folder = self.make_folder()
        port = free_port(socket.SOCK_DGRAM)
        self.spawn([program, "--foreground", "--table=-1",
                    "--interface=127.0.0.1", f"--listen-ng=127.0.0.1:{port}",
                    "--port-min=10000", "--port-max=31999", "--num-threads=1",
                    f"--pidfile={folder / 'pid'}", "--log-level=3",
                    "--log-stderr", "--config-file=none"])
        client = ng.Client(port)
        try:
            def pongs() -> bool:
                client._socket.settimeout(0.1)
                try:
                    return client.ask("ping")["result"] == "pong"
                except ng.NgError:
                    return False
            self.wait_until(pongs, "the start")
            client._socket.settimeout(client.TIMEOUT_S)
            sessions = []
            for number, (caller, callee) in enumerate(plan):
                to_caller, to_callee = client.call(number, split(caller),
                                                   split(callee))
                sessions.append({"caller_relay": "%s:%d" % to_caller,
                                 "callee_relay": "%s:%d" % to_callee,
                                 "caller_local": caller,
                                 "callee_local": callee})
        except ng.NgError as error:
            raise RelayError(f"rtpengine: {error}: {self.said()}") from error
        finally:
            client.close()
        return self.endpoints(sessions)


class Forwarder(Elsewhere):
    def __init__(self, name, build, core, engine: str, batch_wait_us: int = 0):
        super().__init__(name, build, core)
        self.engine, self.batch_wait_us = engine, batch_wait_us

    def start(self, plan):
        self.make_folder()
        self.spawn([self.build / "bench/forwarder", self.engine,
                    self.batch_wait_us],
                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process.stdin.write(json.dumps(
            {"ip": "127.0.0.1",
             "sessions": [{"caller": a, "callee": b} for a, b in plan]}))
        self.process.stdin.close()
        line = self.process.stdout.readline()
        if not line:
            self.process.wait(10)
            raise RelayError(f"forwarder: {self.said()}")
        return self.endpoints(json.loads(line)["sessions"])


class Nobody(Relay):
    """No relay: the generator sends to itself. What it can do at most."""

    def start(self, plan):
        return ["--loopback-self", "--sessions", str(len(plan))]


def split(endpoint: str) -> tuple[str, int]:
    ip, port = endpoint.rsplit(":", 1)
    return ip, int(port)


TARGETS = {
    "sluiced-uring": lambda *a: Sluiced(*a, engine="io_uring"),
    "sluiced-uring-wait200":
        lambda *a: Sluiced(*a, engine="io_uring", batch_wait_us=200),
    "sluiced-epoll": lambda *a: Sluiced(*a, engine="epoll"),
    "rtpengine": Rtpengine,
    "perl": Perl,
    "floor-uring": lambda *a: Forwarder(*a, engine="io_uring"),
    "floor-epoll": lambda *a: Forwarder(*a, engine="epoll"),
    "floor-plain": lambda *a: Forwarder(*a, engine="plain"),
    "self": Nobody,
}


def make(name: str, build: pathlib.Path, core: int) -> Relay:
    return TARGETS[name](name, build, core)
