"""What bench/compare-xdp measures, and where: the relays in a network namespace
of their own with a veth to each party, their calls, the frames that go through
them, and what the core that does the work has spent."""

import contextlib
import json
import os
import pathlib
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time

import ng
import relays

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent /
                       "tests/whole"))

import nathelper  # noqa: E402  (found by the line above)
import xdp_world  # noqa: E402

RelayError = relays.RelayError

# What ends a run, cleaning up on the way.
ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# Where the parties are, by call. The step is xdp/traffic.h's.
FIRST_PORT, PORT_STEP = 20000, 2
# What xdp_generator gives its streams; the callees' are others.
CALLER_SSRC, CALLEE_SSRC = 0x51700000, 0x61700000
RELAY_PORTS = (10000, 19999)
SETTLE_S = 30
# What is measured goes before what else the machine does; all alike, so that
# among themselves nothing changes.
NICE = -20
# Real packets of a stream follow each other as voice does, or a little slower.
PACKET_S = 0.03
ANSWER_S = 20


@contextlib.contextmanager
def known_when_over():
    """A signal that ends us waits until what is started inside is known, or
    nobody would end that."""
    came = []
    before = {number: signal.signal(number, lambda got, _: came.append(got))
              for number in ENDS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            os.kill(os.getpid(), came[0])


# --- The cores ----------------------------------------------------------------

def napi_threads(device: int) -> list[int]:
    """Process ids of the threads that receive for a device of this namespace
    (the netdev family of generic netlink, Linux 6.8)."""
    def attributes(data: bytes):
        at = 0
        while at + 4 <= len(data):
            length, kind = struct.unpack_from("=HH", data, at)
            if length < 4:
                return
            yield kind & 0x3fff, data[at + 4:at + length]
            at += length + 3 & ~3

    def ask(kind: int, flags: int, head: bytes, attribute: int, value: bytes):
        item = struct.pack("=HH", 4 + len(value), attribute) + value
        body = head + item + bytes(-len(item) % 4)
        sock.send(struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) +
                  body)
        while True:
            data, at = sock.recv(65536), 0
            while at + 16 <= len(data):
                length, got = struct.unpack_from("=IH", data, at)
                if got == 2:  # an error, and 0 is none
                    code, = struct.unpack_from("=i", data, at + 16)
                    if code:
                        raise RelayError(
                            "the kernel does not tell a device's NAPI threads "
                            f"(Linux 6.8 does): error {-code}")
                    return
                if got == 3:  # the end of a list
                    return
                yield data[at + 20:at + length]
                at += length + 3 & ~3
            if not flags & 0x300:
                return

    get_family, name, family_id = 3, 2, 1
    napi_get, ifindex, pid = 11, 1, 4
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16) as sock:
        sock.settimeout(5)
        sock.bind((0, 0))
        family = None
        for message in ask(16, 1, struct.pack("=BBH", get_family, 1, 0), name,
                           b"netdev\0"):
            for kind, value in attributes(message):
                if kind == family_id:
                    family, = struct.unpack("=H", value[:2])
        if family is None:
            raise RelayError("this kernel has no netdev family (Linux 6.3)")
        found = []
        for message in ask(family, 0x301, struct.pack("=BBH", napi_get, 1, 0),
                           ifindex, struct.pack("=I", device)):
            found += [struct.unpack("=I", value)[0]
                      for kind, value in attributes(message) if kind == pid]
        return found


def softirq_thread(core: int) -> int:
    for comm in pathlib.Path("/proc").glob("[0-9]*/comm"):
        try:
            if comm.read_text() == f"ksoftirqd/{core}\n":
                return int(comm.parent.name)
        except OSError:
            continue
    raise RelayError(f"there is no ksoftirqd/{core}")


def run_ns(thread: pathlib.Path) -> int:
    """What the scheduler has given a thread; 0 when it is gone."""
    try:
        return int((thread / "schedstat").read_text().split()[0])
    except OSError:
        return 0


def core_ticks(core: int) -> tuple[int, int]:
    """Of /proc/stat: busy and all; stolen time is neither ours nor idle."""
    for line in pathlib.Path("/proc/stat").read_text().splitlines():
        if line.startswith(f"cpu{core} "):
            user, nice, system, idle, iowait, irq, softirq, steal = map(
                int, line.split()[1:9])
            busy = user + nice + system + irq + softirq
            return busy, busy + idle + iowait + steal
    raise RelayError(f"/proc/stat knows no core {core}")


class Meter:
    """CPU time of exactly the threads that work for the relay, and of the whole
    core to hold against it."""

    def __init__(self, core: int, kernel_threads: list[int], relay):
        self.core, self.kernel, self.relay = core, kernel_threads, relay

    def read(self) -> dict:
        threads = [pathlib.Path(f"/proc/{pid}") for pid in self.kernel]
        if self.relay.pid:
            threads += pathlib.Path(f"/proc/{self.relay.pid}/task").glob("*")
        busy, total = core_ticks(self.core)
        return {"s": time.monotonic(),
                "ns": sum(run_ns(thread) for thread in threads),
                "busy": busy, "total": total}

    @staticmethod
    def between(a: dict, b: dict) -> dict:
        ticks = max(b["total"] - a["total"], 1)
        seconds = b["s"] - a["s"]
        return {"seconds": seconds, "cpu_ns": b["ns"] - a["ns"],
                "threads_busy": (b["ns"] - a["ns"]) / seconds / 1e9,
                "core_busy": (b["busy"] - a["busy"]) / ticks}


# --- The place ----------------------------------------------------------------

class Place:
    """Namespaces with everything on the relay's core. Use it in a `with`.

        far                         relay
    core 1  generator --> p0 ===> r0, threaded NAPI on core 0
                                   |  XDP, or up to a socket and down again
    XDP, counts <-- p1 <========= r1     (on the core that sends: core 0)
    """

    def __init__(self, relay_core: int, load_core: int):
        self.relay_core, self.load_core = relay_core, load_core
        self.spaces = xdp_world.Namespaces(devices=2)

    def __enter__(self):
        try:
            self.spaces.__enter__()
            space = self.spaces.relay
            xdp_world.run("ip", "netns", "exec", space, "sh", "-c",
                          "echo 1 > /sys/class/net/r0/threaded")
            self.macs = {}
            for name, device in ((space, "r0"), (self.spaces.far, "p0")):
                link, = json.loads(xdp_world.run("ip", "-j", "-n", name,
                                                 "link", "show", device))
                self.macs[device] = link["address"]
                if device == "r0":
                    self.ifindex = link["ifindex"]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *unused):
        self.spaces.__exit__()

    def pin(self) -> list[int]:
        """The threads that receive for the relay, on its core from here on."""
        with self.spaces.inside(self.spaces.relay):
            threads = napi_threads(self.ifindex)
        if not threads:
            raise RelayError("r0 has no NAPI thread of its own "
                             "(/sys/class/net/r0/threaded)")
        for pid in threads:
            xdp_world.run("taskset", "-pc", str(self.relay_core), str(pid))
            os.setpriority(os.PRIO_PROCESS, pid, NICE)
            with open(f"/proc/{pid}/status") as status:
                allowed = [line.split()[1] for line in status
                           if line.startswith("Cpus_allowed_list:")]
            if allowed != [str(self.relay_core)]:
                raise RelayError(f"the NAPI thread {pid} stays on {allowed}")
        return threads


class Generator:
    """One xdp_generator. Use it in a `with`."""

    def __init__(self, program: pathlib.Path, place: Place, space: str,
                 what: str, device: str, setup: dict):
        self.process = None
        try:
            with known_when_over(), place.spaces.inside(space):
                self.process = subprocess.Popen(
                    ["taskset", "-c", str(place.load_core), "nice", "-n",
                     str(NICE), str(program), what, device],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE, text=True)
            self.ask(json.dumps(setup))
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self):
        return self

    def ask(self, line: str, within_s: float = ANSWER_S) -> dict:
        """A line and the line that answers it."""
        answer = ""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
            poll = select.poll()  # select() knows only 1,024 descriptors
            poll.register(self.process.stdout, select.POLLIN)
            if not poll.poll(1000 * within_s):
                raise RelayError(f"xdp_generator: no answer for {within_s} s")
            answer = self.process.stdout.readline()
        if not answer:
            raise RelayError(self.process.stderr.read().strip()[-400:] or
                             "xdp_generator ended without a word")
        return json.loads(answer)

    def __exit__(self, *unused):
        if self.process is None:
            return
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


# --- The relays ---------------------------------------------------------------

class XdpRelay(relays.Relay):
    """A relay between two devices. `call` sets one up: where the caller and the
    callee are to send to."""

    def __init__(self, name: str, build: pathlib.Path, place: Place):
        super().__init__(name, build, place.relay_core)
        self.place, self.spaces = place, place.spaces

    def spawn(self, command: list, **options) -> None:
        with known_when_over(), self.spaces.inside(self.spaces.relay):
            super().spawn(["nice", "-n", NICE, *command], **options)

    def call(self, number: int, caller: tuple[str, int],
             callee: tuple[str, int]) -> tuple[tuple, tuple]:
        raise NotImplementedError

    def in_force(self) -> int | None:
        """How many directions go past the sockets; None: there is no such
        thing."""
        return None

    def past_sockets(self) -> int | None:
        """How many packets have gone past them."""
        return None


class Sluiced(XdpRelay):
    def __init__(self, *common, xdp: str):
        super().__init__(*common)
        self.xdp = xdp

    def start(self, flows: int):
        folder = self.make_folder()
        rpc, self.control = folder / "nathelper.sock", folder / "control.sock"
        interfaces = "".join(
            f'[[relay.interface]]\nname = "i{i}"\naddress = "{ip}"\n'
            f'xdp = "{self.xdp}"\n'
            for i, ip in enumerate(self.spaces.relay_ips))
        (folder / "sluiced.toml").write_text(f"""
[log]
level = "warn"
[relay]
shards = 1
engine = "io_uring"
ports = [{RELAY_PORTS[0]}, {RELAY_PORTS[1]}]
{interfaces}
[nathelper]
listen = ["unix:{rpc}"]
[http]
listen = ""
[control]
socket = "{self.control}"
""")
        self.spawn([self.build / "tools/sluiced", "--config",
                    folder / "sluiced.toml"])
        self.wait_until(lambda: relays.connects(socket.AF_UNIX, str(rpc)),
                        "the start")
        self.helper = nathelper.NatHelper(str(rpc))
        for interface in self.status()["interfaces"]:
            path = interface["path"]
            if path != (self.xdp if self.xdp != "off" else "sockets"):
                raise RelayError(f"{self.name}: {interface['address']} is on "
                                 f"{path}: {interface['path_reason']}")

    def call(self, number, caller, callee):
        key = nathelper.Key(f"compare-{number}", 1, f"a{number}", f"b{number}")
        ways = []
        for side, (party, towards) in enumerate(((caller, 1), (callee, 0))):
            got = self.helper.allocate(key, side,
                                       self.spaces.relay_ips[towards],
                                       [nathelper.Media(*party)])
            if got is None:
                raise RelayError(f"{self.name} refused call {number}: "
                                 f"{self.said()}")
            ways.append(got[0][:2])
        if self.helper.activate(key) != 1:
            raise RelayError(f"{self.name} did not begin call {number}: "
                             f"{self.said()}")
        to_callee, to_caller = ways  # who was told of them sends there
        return to_caller, to_callee

    def status(self) -> dict:
        return json.loads(xdp_world.run(
            str(self.build / "tools/sluicectl"), "-s", str(self.control),
            "-o", "json", "status"))

    def in_force(self):
        if self.xdp == "off":
            return None
        return self.status()["fast_path"]["offload_in_force"]

    def past_sockets(self):
        if self.xdp == "off":
            return None
        return self.status()["fast_path"]["verdict_send_redirect"]


class Rtpengine(XdpRelay):
    client = None

    def start(self, flows: int):
        program = relays.need("rtpengine", "rtpengine-daemon")
        folder = self.make_folder()
        with self.spaces.inside(self.spaces.relay):
            port = relays.free_port(socket.SOCK_DGRAM)
            self.client = ng.Client(port)
        near, far = self.spaces.relay_ips
        self.spawn([program, "--foreground", "--table=-1",
                    f"--interface=near/{near}", f"--interface=far/{far}",
                    f"--listen-ng=127.0.0.1:{port}",
                    f"--port-min={RELAY_PORTS[0]}",
                    f"--port-max={RELAY_PORTS[1]}", "--num-threads=1",
                    f"--pidfile={folder / 'pid'}", "--log-level=3",
                    "--log-stderr", "--config-file=none"])

        def pongs() -> bool:
            try:
                return self.client.ask("ping")["result"] == "pong"
            except ng.NgError:
                return False
        self.wait_until(pongs, "the start")

    def call(self, number, caller, callee):
        common = {"call_id": f"compare-{number}", "from_tag": f"a{number}",
                  "ICE": "remove", "flags": ["trust-address"],
                  "replace": ["origin", "session-connection"]}
        try:
            offer = self.client.ask("offer", sdp=ng.sdp(*caller),
                                    direction=["near", "far"], **common)
            answer = self.client.ask("answer", sdp=ng.sdp(*callee),
                                     to_tag=f"b{number}", **common)
            return (ng.media_address(answer["sdp"]),
                    ng.media_address(offer["sdp"]))
        except ng.NgError as error:
            raise RelayError(f"rtpengine: {error}: {self.said()}") from error

    def stop(self):
        if self.client:
            self.client.close()
        super().stop()


class Nobody(XdpRelay):
    """What the generator can send: all of it is dropped where the relay would
    receive."""

    def start(self, flows: int):
        pass

    def call(self, number, caller, callee):
        return tuple((ip, RELAY_PORTS[0] + 2 * number % 10000)
                     for ip in self.spaces.relay_ips)


TARGETS = {
    "sluiced-native": lambda *a: Sluiced(*a, xdp="native"),
    "sluiced-tc": lambda *a: Sluiced(*a, xdp="tc"),
    "sluiced-uring": lambda *a: Sluiced(*a, xdp="off"),
    "rtpengine": Rtpengine,
    "self": Nobody,
}


# --- Calls --------------------------------------------------------------------

class Parties:
    """Both ends of every call, with real sockets. Use it in a `with`."""

    def __init__(self, relay: XdpRelay, flows: int):
        self.relay, self.flows = relay, flows
        self.spaces = relay.spaces
        self.sockets = contextlib.ExitStack()
        self.ends = []  # of a call: (socket, where to, SSRC) of both
        self.described = []  # as xdp_generator takes it
        self.sequence = 0

    def __enter__(self):
        need = 2 * self.flows + 200
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard != resource.RLIM_INFINITY and hard < need:
            raise RelayError(f"{self.flows} flows take {need} descriptors, "
                             f"the limit is {hard} (ulimit -n)")
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, need), hard))
        try:
            for number in range(self.flows):
                self._call(number)
        except BaseException:
            self.sockets.close()
            raise
        return self

    def __exit__(self, *unused):
        self.sockets.close()

    def _call(self, number: int):
        port = FIRST_PORT + PORT_STEP * number
        caller = (self.spaces.caller_ip, port)
        callee = (self.spaces.callee_ip, port)
        to_caller, to_callee = self.relay.call(number, caller, callee)
        pair = []
        for party, to, ssrc in ((caller, to_caller, CALLER_SSRC),
                                (callee, to_callee, CALLEE_SSRC)):
            sock = self.sockets.enter_context(
                self.spaces.udp(self.spaces.far, *party))
            sock.setblocking(False)
            pair.append((sock, to, ssrc + number))
        self.ends.append(pair)
        text = [f"{ip}:{port}" for ip, port in
                (caller, to_caller, to_callee, callee)]
        self.described.append(dict(zip(("from", "at", "out", "to"), text)))

    def confirm(self) -> None:
        """Sends until everybody hears the other and, where there is another
        path than the sockets, all go by it."""
        heard, deadline = set(), time.monotonic() + SETTLE_S
        while True:
            began = time.monotonic()
            self.sequence += 1
            body = struct.pack(">BBHI", 0x80, 0, self.sequence,
                               160 * self.sequence)
            for pair in self.ends:
                for sock, to, ssrc in pair:
                    sock.sendto(body + struct.pack(">I", ssrc) +
                                b"\x55" * 160, to)
            time.sleep(max(0, began + PACKET_S - time.monotonic()))
            for pair in self.ends:
                for side, (sock, _, _) in enumerate(pair):
                    with contextlib.suppress(BlockingIOError):
                        while True:
                            octets, source = sock.recvfrom(2048)
                            other = pair[1 - side][2]
                            if source == pair[side][1] and \
                                    octets[8:12] == struct.pack(">I", other):
                                heard.add(sock.fileno())
            in_force = self.relay.in_force() if self.sequence % 10 == 0 or \
                self.flows == 1 else -1
            if len(heard) == 2 * self.flows and \
                    in_force in (None, 2 * self.flows):
                return
            if time.monotonic() > deadline:
                raise RelayError(
                    f"{self.relay.name}: after {SETTLE_S} s {len(heard)} of "
                    f"{2 * self.flows} parties heard the other; past the "
                    f"sockets: {self.relay.in_force()}: {self.relay.said()}")

    def setup(self) -> dict:
        place = self.relay.place
        return {"core": place.relay_core, "sequence": self.sequence + 1,
                "from_mac": place.macs["p0"], "to_mac": place.macs["r0"],
                "flows": self.described}


def why_not() -> str:
    """Why nothing can be compared here; empty when it can."""
    if not shutil.which("taskset"):
        return "there is no taskset (Debian package util-linux)"
    if reason := xdp_world.why_not():
        return reason
    try:
        napi_threads(socket.if_nametoindex("lo"))
    except (RelayError, OSError) as error:
        return str(error)
    return ""
