"""Two network namespaces of our own with veth between them: the relay's, and
the far one, where its parties are.

The relay's neighbours have GRO, or redirected frames would be lost, and senders
finish their checksums themselves (a veth would leave that to a device that
there is not)."""

import contextlib
import ctypes
import os
import pathlib
import shutil
import socket
import subprocess

from waiting import PATIENCE_S

CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)
# Not in the PATH of everybody.
_BPFTOOL = "/usr/sbin/bpftool"


def run(*command: str) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout.strip()}")
    return done.stdout


def why_not() -> str:
    """Why there can be no such namespaces here; empty when there can."""
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
        run("ip", "-n", name, "link", "add", "name", "a", "type", "veth",
            "peer", "name", "b")
    except RuntimeError as error:
        return f"no veth can be made: {error}"
    finally:
        run("ip", "netns", "del", name)
    return ""


def why_not_detach() -> str:
    """Why nothing can be taken off a device by force; empty when it can."""
    if not shutil.which("bpftool") and not pathlib.Path(_BPFTOOL).exists():
        return "there is no bpftool (tools/setup installs it)"
    return ""


def links_of(pid: int) -> list[int]:
    """Ids of the BPF links that the process holds."""
    links = []
    for path in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
        # What is closed meanwhile is none.
        with contextlib.suppress(FileNotFoundError):
            text = path.read_text()
            if "link_id:" in text:
                links.append(int(text.split("link_id:")[1].split()[0]))
    return links


def detach(link: int):
    """Takes what that link holds off its device, against its owner's will."""
    run(shutil.which("bpftool") or _BPFTOOL, "link", "detach", "id", str(link))


@contextlib.contextmanager
def inside(namespace: str):
    """This thread, and what it starts, is in that namespace."""
    with open("/proc/thread-self/ns/net") as home, \
         open(f"/run/netns/{namespace}") as there:
        if _LIBC.setns(there.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        try:
            yield
        finally:
            if _LIBC.setns(home.fileno(), CLONE_NEWNET) != 0:
                os._exit(70)  # whatever runs here would be elsewhere


class Pair:
    """The two namespaces, for a `with`; who derives from it lays them out."""
    count = 0

    def __init__(self):
        Pair.count += 1
        prefix = f"slx{os.getpid()}n{Pair.count}"
        self.relay = prefix + "r"
        self.far = prefix + "f"

    def __enter__(self):
        try:
            for name in (self.relay, self.far):
                run("ip", "netns", "add", name)
                run("ip", "-n", name, "link", "set", "lo", "up")
            self.lay_out()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *unused):
        for name in (self.relay, self.far):
            subprocess.run(["ip", "netns", "del", name],
                           stderr=subprocess.DEVNULL)

    def lay_out(self):
        raise NotImplementedError

    @staticmethod
    def inside(namespace: str):
        return inside(namespace)

    def plain_link(self, near: str, far: str):
        """A veth: the device `near` at the relay, `far` at its parties."""
        run("ip", "-n", self.relay, "link", "add", near, "type", "veth",
            "peer", "name", far, "netns", self.far)
        run("ip", "-n", self.relay, "link", "set", near, "up")
        run("ip", "-n", self.far, "link", "set", far, "up")

    def link(self, near: str, far: str):
        """The same, for media past the sockets."""
        self.plain_link(near, far)
        # Only once they are up does it count.
        run("ip", "netns", "exec", self.far, "ethtool", "-K", far, "gro", "on",
            "tx", "off", "gso", "off", "tso", "off")
        run("ip", "netns", "exec", self.relay, "ethtool", "-K", near, "gro",
            "on")

    def udp(self, namespace: str, ip: str, port: int = 0) -> socket.socket:
        with inside(namespace):
            sock = socket.socket(
                socket.AF_INET6 if ":" in ip else socket.AF_INET,
                socket.SOCK_DGRAM)
        sock.bind((ip, port))
        sock.settimeout(PATIENCE_S)
        return sock
