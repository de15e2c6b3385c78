"""Two network namespaces with veth between them, and a sluiced in one of them,
for the tests of the kernel bypass:

       far                                       relay
    caller 10.91.1.2, fd91:1::2 ===veth=== r0 10.91.1.1, fd91:1::1
    callee 10.91.2.2, fd91:2::2 ===veth=== r1 10.91.2.1, fd91:2::1

With one device both parties are behind r0, the callee as 10.91.1.3 (fd91:1::3).
The relay's neighbours have GRO, or redirected frames would be lost, and senders
finish their checksums themselves (a veth would leave that to a device that
there is not). Only sockets are opened inside: a process enters a namespace for
as long as that takes."""

import contextlib
import ctypes
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import run_whole  # noqa: E402

CLONE_NEWNET = 0x40000000
# Only so that a hang ends: nothing takes long on a quiet machine.
PATIENCE_S = 60
_LIBC = ctypes.CDLL(None, use_errno=True)


def wait_for(condition, what: str):
    """Asks until the answer is true; that answer."""
    deadline = time.monotonic() + PATIENCE_S
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {PATIENCE_S} s in vain: {what}")
        time.sleep(0.01)
    return answer


def run(*command: str) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout.strip()}")
    return done.stdout


def why_not() -> str:
    """Why no such test can run here; empty when it can."""
    if os.geteuid() != 0:
        return "it takes root to make network namespaces"
    for tool in ("ip", "ethtool"):
        if not shutil.which(tool):
            return f"there is no {tool} (tools/setup installs it)"
    name = f"slx{os.getpid()}t"
    try:
        run("ip", "netns", "add", name)
    except RuntimeError as error:
        return f"no network namespace can be made: {error}"
    try:
        run("ip", "-n", name, "link", "add", "name", "a", "type", "veth", "peer", "name", "b")
    except RuntimeError as error:
        return f"no veth can be made: {error}"
    finally:
        run("ip", "netns", "del", name)
    return ""


class Namespaces:
    """Use it in a `with`. `devices`: 2, or 1 with both parties behind it."""
    count = 0

    def __init__(self, devices: int = 2):
        Namespaces.count += 1
        prefix = f"slx{os.getpid()}n{Namespaces.count}"
        self.devices = devices
        self.relay = prefix + "r"
        self.far = prefix + "f"
        self.caller_ip, self.caller_ip6 = "10.91.1.2", "fd91:1::2"
        if devices == 1:
            self.callee_ip, self.callee_ip6 = "10.91.1.3", "fd91:1::3"
        else:
            self.callee_ip, self.callee_ip6 = "10.91.2.2", "fd91:2::2"
        # By side of a call: where the relay faces its party.
        self.relay_ips = ["10.91.1.1", "10.91.2.1"][:devices]
        self.relay_ips6 = ["fd91:1::1", "fd91:2::1"][:devices]

    def __enter__(self):
        try:
            for name in (self.relay, self.far):
                run("ip", "netns", "add", name)
                run("ip", "-n", name, "link", "set", "lo", "up")
            self._link(0,
                       [self.caller_ip, self.caller_ip6] +
                       ([self.callee_ip, self.callee_ip6]
                        if self.devices == 1 else []))
            if self.devices == 2:
                self._link(1, [self.callee_ip, self.callee_ip6])
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *unused):
        for name in (self.relay, self.far):
            subprocess.run(["ip", "netns", "del", name],
                           stderr=subprocess.DEVNULL)

    def _link(self, number: int, addresses):
        far = self.far
        near_dev, far_dev = f"r{number}", f"p{number}"
        run("ip", "-n", self.relay, "link", "add", near_dev, "type", "veth",
            "peer", "name", far_dev, "netns", far)
        for address in [f"10.91.{number + 1}.1/24", f"fd91:{number + 1}::1/64"]:
            self._address(self.relay, near_dev, address)
        for address in addresses:
            self._address(far, far_dev,
                          f"{address}/{64 if ':' in address else 24}")
        run("ip", "-n", self.relay, "link", "set", near_dev, "up")
        run("ip", "-n", far, "link", "set", far_dev, "up")
        # Only once they are up does it count.
        run("ip", "netns", "exec", far, "ethtool", "-K", far_dev, "gro", "on",
            "tx", "off", "gso", "off", "tso", "off")
        run("ip", "netns", "exec", self.relay, "ethtool", "-K", near_dev,
            "gro", "on")

    @staticmethod
    def _address(namespace: str, device: str, address: str):
        extra = ["nodad"] if ":" in address else []
        run("ip", "-n", namespace, "addr", "add", address, "dev", device, *extra)

    @contextlib.contextmanager
    def inside(self, namespace: str):
        """This thread is in that namespace."""
        with open("/proc/thread-self/ns/net") as home, \
             open(f"/run/netns/{namespace}") as there:
            if _LIBC.setns(there.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
            try:
                yield
            finally:
                if _LIBC.setns(home.fileno(), CLONE_NEWNET) != 0:
                    os._exit(70)  # whatever runs here would be elsewhere

    def udp(self, namespace: str, ip: str, port: int = 0) -> socket.socket:
        with self.inside(namespace):
            sock = socket.socket(
                socket.AF_INET6 if ":" in ip else socket.AF_INET,
                socket.SOCK_DGRAM)
        sock.bind((ip, port))
        sock.settimeout(PATIENCE_S)
        return sock


class Daemon:
    """A sluiced in the relay's namespace. Use it in a `with`."""

    def __init__(self, build: pathlib.Path, spaces: Namespaces, xdp: str = "",
                 relay: str = "", ports=(10000, 19999)):
        """`xdp`: the mode of every interface; `relay`: lines for [relay]."""
        self.build, self.spaces = build, spaces
        self._temporary = tempfile.TemporaryDirectory(prefix="sluice-xdp-")
        self.folder = pathlib.Path(self._temporary.name)
        self.unix = str(self.folder / "nathelper.sock")
        text = run_whole.CONFIG.format(folder=self.folder, engine="auto",
                                       http_port=0)
        text = text.replace("ports = [10000, 32767]",
                            f"ports = [{ports[0]}, {ports[1]}]\n{relay}")
        text = text.replace('listen = "127.0.0.1:0"', 'listen = ""')
        head, tail = text.split('[[relay.interface]]\nname = "default"\n'
                                'address = "127.0.0.1"\n')
        for i, ip in enumerate(spaces.relay_ips + spaces.relay_ips6):
            head += (f'[[relay.interface]]\nname = "i{i}"\naddress = "{ip}"\n'
                     f'xdp = "{xdp}"\n' if xdp else
                     f'[[relay.interface]]\nname = "i{i}"\naddress = "{ip}"\n')
        self.config = self.folder / "sluice.toml"
        self.config.write_text(head + tail)
        self.process = None
        self.prefix = []  # what it is started by

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self):
        with self.spaces.inside(self.spaces.relay):
            self.process = subprocess.Popen(
                [*self.prefix, self.build / "tools/sluiced", "--config",
                 self.config],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if line == "ready\n":
                break
        else:
            raise AssertionError("sluiced did not start:\n" + "".join(lines))
        self.log = lines
        threading.Thread(target=self._read, args=(self.process,),
                         daemon=True).start()

    def _read(self, process):
        for line in process.stdout:
            self.log.append(line)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def __exit__(self, *unused):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
        self._temporary.cleanup()

    def ask(self, *words: str):
        out = run(str(self.build / "tools/sluicectl"), "-s",
                  str(self.folder / "control.sock"), "-o", "json", *words)
        return json.loads(out)

    def fast_path(self) -> dict:
        return self.ask("status")["fast_path"]
