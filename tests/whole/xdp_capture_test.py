#!/usr/bin/env python3
"""xdp_capture_test.py BUILD [CASE...]: a call's packets in a file, whichever way
they go.

Goal: what `sluicectl capture` writes is what came in, of both parties, by the
sockets and past them, none missing and none twice, and tshark takes it for
good; it ends with its time, its reader or its call, and costs nothing then.
Method: a real sluiced between real sockets over veth, tshark as the reader."""

import json
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import namespaces  # noqa: E402
import xdp_test  # noqa: E402
from xdp_test import Call, run_offload  # noqa: E402
from waiting import PATIENCE_S, wait_for  # noqa: E402
from xdp_world import Daemon, Namespaces  # noqa: E402

BUILD = pathlib.Path()
SECONDS = 600  # only so that it ends some day


class Capture:
    """A sluicectl that captures."""

    def __init__(self, daemon: Daemon, call: str, file: pathlib.Path):
        self.daemon, self.file = daemon, file
        before = daemon.ask_capture()["capture"]
        self.process = subprocess.Popen(
            [BUILD / "tools/sluicectl", "-s", daemon.folder / "control.sock",
             "-o", "json", "capture", call, "-w", file, "--seconds",
             str(SECONDS)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True)
        wait_for(lambda: (now := daemon.ask_capture())["capture"] > before and
                 now["running"], "the capture to begin")

    def packets(self) -> int:
        return self.daemon.ask_capture()["packets"]

    def end(self) -> dict:
        self.process.send_signal(signal.SIGINT)
        return self.wait()

    def wait(self) -> dict:
        out, err = self.process.communicate(timeout=PATIENCE_S)
        assert self.process.returncode == 0, err
        return json.loads(out)


class CaptureDaemon(Daemon):
    def ask_capture(self) -> dict:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE_S)
            sock.connect(str(self.folder / "control.sock"))
            sock.sendall(b"GET /v1/capture HTTP/1.1\r\n\r\n")
            answer = b""
            while part := sock.recv(65536):
                answer += part
        return json.loads(answer.split(b"\r\n\r\n", 1)[1])


def read(file: pathlib.Path) -> list:
    """(source, port, destination, port, RTP sequence number) of each packet;
    fails on a bad checksum or what is no RTP."""
    out = namespaces.run(
        "tshark", "-r", str(file), "-o", "udp.check_checksum:TRUE", "-o",
        "ip.check_checksum:TRUE", "-d", "udp.port==1-65535,rtp", "-T",
        "fields", "-E", "separator=,", "-e", "ip.src", "-e", "ipv6.src", "-e",
        "udp.srcport", "-e", "ip.dst", "-e", "ipv6.dst", "-e", "udp.dstport",
        "-e", "rtp.seq", "-e", "udp.checksum.status", "-e",
        "ip.checksum.status")
    packets = []
    for line in out.splitlines():
        if line.startswith("Running as user"):
            continue
        s4, s6, sp, d4, d6, dp, seq, udp_good, ip_good = line.split(",")
        assert udp_good == "1", f"a bad UDP checksum: {line}"
        assert ip_good == ("1" if s4 else ""), f"a bad IP checksum: {line}"
        packets.append((s4 or s6, int(sp), d4 or d6, int(dp), int(seq)))
    return packets


class Captures(unittest.TestCase):
    def test_both_directions_by_both_paths(self):
        for mode in ("native", "tc"):
            for six in ((False, False), (True, True)):
                with self.subTest(mode=mode, six=six), Namespaces() as spaces, \
                     CaptureDaemon(BUILD, spaces, mode) as daemon:
                    self.one(spaces, daemon, six)

    def one(self, spaces, daemon, six):
        call = Call(spaces, daemon, six)
        other = Call(spaces, daemon, six)
        # Begins past the sockets, comes back to them, and leaves them again.
        call.leave_sockets()
        begin = list(call.sequence)
        file = daemon.folder / "call.pcap"
        capture = Capture(daemon, call.id, file)
        # Watched before the capture is told to run.
        for _ in range(25):
            call.say(0), call.say(1), other.say(0)
        mirrored = daemon.fast_path()["verdict_event_mirrored"]
        self.assertGreaterEqual(mirrored, 50)
        run_offload(daemon, "off")
        for _ in range(25):
            call.say(0), call.say(1), other.say(1)
        self.assertEqual(daemon.fast_path()["verdict_event_mirrored"], mirrored)
        run_offload(daemon, "on")
        call.leave_sockets()
        for _ in range(5):
            call.say(0), call.say(1)
        self.assertGreater(daemon.fast_path()["verdict_event_mirrored"],
                           mirrored)
        wanted = sum(call.sequence) - sum(begin)
        wait_for(lambda: capture.packets() == wanted, "the last packet")
        told = capture.end()
        self.assertEqual(told["lost"], 0)
        packets = read(file)
        self.assertEqual(told["packets"], len(packets))
        for side in (0, 1):
            source = call.party[side].getsockname()[:2]
            numbers = [p[4] for p in packets if p[:2] == source and
                       p[2:4] == tuple(call.relay[side])]
            self.assertEqual(numbers,
                             list(range(begin[side], call.sequence[side])))
        both = {call.party[s].getsockname()[:2] for s in (0, 1)}
        self.assertEqual({p[:2] for p in packets}, both)
        # Nothing is copied any more.
        wait_for(lambda: not daemon.ask_capture()["running"], "its end")
        before = daemon.fast_path()["verdict_event_mirrored"]
        for _ in range(10):
            call.say(0), call.say(1)
        self.assertEqual(daemon.fast_path()["verdict_event_mirrored"], before)
        call.close(), other.close()

    def test_ends_when_its_client_is_killed_and_with_the_call(self):
        with Namespaces() as spaces, \
             CaptureDaemon(BUILD, spaces, "native") as daemon:
            call = Call(spaces, daemon)
            capture = Capture(daemon, call.id, daemon.folder / "a.pcap")
            capture.process.kill()
            capture.process.communicate()
            wait_for(lambda: not daemon.ask_capture()["running"], "its end")
            self.assertIn("reader", daemon.ask_capture()["ended"])
            capture = Capture(daemon, call.id, daemon.folder / "b.pcap")
            call.say(0)
            wait_for(lambda: capture.packets() == 1, "the packet")
            call.close()
            told = capture.wait()
            self.assertEqual(told["packets"], 1)
            self.assertEqual(told["ended"], "the call is over")
            self.assertEqual(len(read(daemon.folder / "b.pcap")), 1)

    def test_refusals(self):
        with Namespaces() as spaces, \
             CaptureDaemon(BUILD, spaces, "") as daemon:
            call = Call(spaces, daemon)
            file = daemon.folder / "a.pcap"

            def ctl(*words):
                return subprocess.run(
                    [BUILD / "tools/sluicectl", "-s",
                     daemon.folder / "control.sock", "capture", *words],
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.assertEqual(ctl("nobody", "-w", file).returncode, 4)
            self.assertFalse(file.exists())
            capture = Capture(daemon, call.id, file)
            second = ctl(call.id, "-w", daemon.folder / "b.pcap")
            self.assertEqual(second.returncode, 1)
            self.assertIn(b"another capture runs", second.stderr)
            capture.end()
            again = ctl(call.id, "-w", file)
            self.assertEqual(again.returncode, 2)
            self.assertIn(b"--force", again.stderr)
            done = ctl(call.id, "-w", "-", "--seconds", "1")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(done.stdout[:4], b"\xd4\xc3\xb2\xa1")
            self.assertIn(b"0 packets, 0 left out", done.stderr)


def main() -> int:
    global BUILD
    BUILD = xdp_test.BUILD = pathlib.Path(sys.argv[1]).resolve()
    reason = namespaces.why_not()
    if not shutil.which("tshark"):
        reason = "there is no tshark (tools/setup installs it)"
    if reason:
        print(f"skipped: {reason}")
        return 77
    names = sys.argv[2:]
    loader = unittest.defaultTestLoader
    suite = (loader.loadTestsFromNames(names, sys.modules[__name__]) if names
             else loader.loadTestsFromTestCase(Captures))
    done = unittest.TextTestRunner(verbosity=2).run(suite)
    bad = len(done.failures) + len(done.errors)
    passed = done.testsRun - len({getattr(t, "test_case", t).id() for t, _ in
                                  done.failures + done.errors})
    print(f"{passed} passed, {bad} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
