"""The loopback addresses that the tests know, over veth, so that programs that
were written for loopback run with XDP under their media:

    far: tests and parties                      relay: sluiced
    127/8 on lo, without 127.0.0.1              127.0.0.1/8 on r0
    127.0.0.1 by p0      ======= veth =======   the rest of 127/8 by r0
    and TCP by p1        ======= veth =======   and TCP by r1

The ring of a veth that has GRO holds 256 packets: what attackers send to the
RPC would push media out of it before sluiced or its program saw it.

A program that is run in a World gets a build directory whose sluiced starts in
the relay's namespace; all else it does is in the far one."""

import contextlib
import ctypes
import json
import os
import pathlib
import shlex
import socket
import struct
import subprocess
import tempfile
import threading

import namespaces
import run_whole
from namespaces import run
from waiting import PATIENCE_S

# What of <linux/filter.h> and <linux/if_packet.h> Python has not.
_SO_ATTACH_FILTER, _SOL_PACKET, _PACKET_STATISTICS = 26, 263, 6
_ETH_P_IP = 0x800
_LOAD_BYTE, _JUMP_EQUAL, _RETURN = 0x30, 0x15, 0x06
# Of Linux, for what sockets send.
_TTL = 64
# How often the program is looked for, to be taken off.
_LOOK_S = 0.02


class Loopback(namespaces.Pair):
    def lay_out(self):
        self.link("r0", "p0")
        self.plain_link("r1", "p1")
        for namespace, devices in ((self.relay, ("r0", "r1")),
                                   (self.far, ("p0", "p1"))):
            for name in "all", *devices:
                # Not only lo may carry these addresses.
                self._set(namespace, f"conf/{name}/route_localnet", 1)
                self._set(namespace, f"conf/{name}/rp_filter", 0)
        # Free ports are looked for on the daemon's address.
        self._set(self.far, "ip_nonlocal_bind", 1)
        # As on loopback, everybody is told of a closed port.
        self._set(self.relay, "icmp_ratelimit", 0)
        for namespace, device, address, by_tcp in (
                (self.relay, "r0", "127.0.0.1/8", "127.0.0.0/8 dev r1"),
                (self.far, "lo", "127.0.0.2/8", "127.0.0.1 dev p1")):
            ip = ["ip", "-n", namespace]
            run(*ip, "addr", "del", "127.0.0.1/8", "dev", "lo")
            run(*ip, "addr", "add", address, "dev", device)
            run(*ip, "route", "add", *by_tcp.split(), "src",
                address.split("/")[0], "table", "100")
            run(*ip, "rule", "add", "pref", "10", "ipproto", "tcp", "lookup",
                "100")
        # In front of what is local there, which 127.0.0.1 would be.
        ip = ["ip", "-n", self.far]
        run(*ip, "rule", "add", "pref", "20", "lookup", "local")
        run(*ip, "rule", "del", "pref", "0")
        run(*ip, "route", "add", "127.0.0.1", "dev", "p0", "src", "127.0.0.2",
            "table", "local")

    def _set(self, namespace: str, name: str, value: int):
        with self.inside(namespace):
            pathlib.Path("/proc/sys/net/ipv4", name).write_text(f"{value}\n")


class Forwarded:
    """How many packets came past the sockets, by whichever hook: unlike what a
    socket sent they have one hop behind them."""

    def __init__(self, device: str):
        """In the namespace of that device."""
        self._sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
        code = b"".join(struct.pack("@HBBI", *line) for line in (
            (_LOAD_BYTE, 0, 0, 8), (_JUMP_EQUAL, 0, 3, _TTL - 1),
            (_LOAD_BYTE, 0, 0, 9), (_JUMP_EQUAL, 0, 1, socket.IPPROTO_UDP),
            (_RETURN, 0, 0, 1), (_RETURN, 0, 0, 0)))
        octets = ctypes.create_string_buffer(code, len(code))
        self._sock.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER,
            struct.pack("@HP", len(code) // 8, ctypes.addressof(octets)))
        # They are counted, read or not: none need be kept.
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        self._sock.bind((device, _ETH_P_IP))
        self._total = 0
        self._lock = threading.Lock()

    def count(self) -> int:
        with self._lock:
            # What is asked for begins anew.
            self._total += struct.unpack("@II", self._sock.getsockopt(
                _SOL_PACKET, _PACKET_STATISTICS, 8))[0]
            return self._total

    def close(self):
        self._sock.close()


class World:
    """Use it in a `with`; whatever is started there is in the far namespace."""

    def __init__(self, build: pathlib.Path, mode: str, detach: bool):
        """`mode`: native or tc. `detach`: each sluiced's program is taken off
        by force as soon as it forwards."""
        self._real, self._mode, self.detach = build, mode, detach
        self._stack = contextlib.ExitStack()
        self.detached = 0
        self.errors = []  # what went wrong with the taking off
        self._end = threading.Event()

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self._spaces = stack.enter_context(Loopback())
            self.build = pathlib.Path(stack.enter_context(
                tempfile.TemporaryDirectory(prefix="sluice-veth-")))
            self._started = self.build / "started"
            self._make_view()
            stack.enter_context(self._spaces.inside(self._spaces.far))
            self._forwarded = stack.enter_context(
                contextlib.closing(Forwarded("p0")))
            for name, value in (
                    (run_whole.XDP_VARIABLE, self._mode),
                    (run_whole.NETNS_VARIABLE, self._spaces.relay)):
                os.environ[name] = value
                stack.callback(os.environ.pop, name)
            if self.detach:
                thread = threading.Thread(target=self._take_off)
                thread.start()
                stack.callback(thread.join)
                stack.callback(self._end.set)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *unused):
        self._stack.close()

    def forwarded(self) -> int:
        return self._forwarded.count()

    def lost(self) -> int:
        """What the veth for media lost by itself, its ring being full."""
        total = 0
        for namespace, device in ((self._spaces.relay, "r0"),
                                  (self._spaces.far, "p0")):
            (link,) = json.loads(run("ip", "-n", namespace, "-j", "-s", "link",
                                     "show", device))
            total += link["stats64"]["tx"]["dropped"]
        return total

    def why_not(self) -> str:
        """Why this build cannot forward so; empty when it can."""
        with run_whole.daemon(self.build) as folder:
            done = subprocess.run(
                [self.build / "tools/sluicectl", "-s", folder / "control.sock",
                 "-o", "json", "status"], check=True, capture_output=True,
                timeout=PATIENCE_S)
        (interface,) = json.loads(done.stdout)["interfaces"]
        reason = interface["path_reason"]
        return reason if reason.startswith("this build has no XDP") else ""

    def _make_view(self):
        """The build directory, but for sluiced."""
        tools = self.build / "tools"
        tools.mkdir()
        for path in [*self._real.iterdir(), *(self._real / "tools").iterdir()]:
            if path.name not in ("tools", "sluiced"):
                (self.build / path.relative_to(self._real)).symlink_to(path)
        wrapper = tools / "sluiced"
        # The process that was started becomes sluiced.
        wrapper.write_text(
            "#!/bin/sh\n"
            f"echo $$ >> {shlex.quote(str(self._started))}\n"
            f"exec nsenter --net=/run/netns/{self._spaces.relay} -- "
            f"{shlex.quote(str(self._real / 'tools/sluiced'))} \"$@\"\n")
        wrapper.chmod(0o755)
        self._started.touch()

    def _take_off(self):
        before, seen, done = 0, set(), set()
        while not self._end.wait(_LOOK_S):
            count = self._forwarded.count()
            if count == before:
                continue
            # What is taken off stays with its owner for a while.
            before, links = count, self._links() - done
            # It was there when the packets before came, and is still.
            for link in links & seen:
                try:
                    namespaces.detach(link)
                    self.detached += 1
                except RuntimeError as error:
                    if link in self._links():
                        self.errors.append(str(error))
                done.add(link)
            seen = links

    def _links(self) -> set[int]:
        links = set()
        for pid in self._started.read_text().split():
            # It may have ended.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                links |= set(namespaces.links_of(int(pid)))
        return links
