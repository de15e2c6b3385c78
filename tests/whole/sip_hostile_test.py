#!/usr/bin/env python3
"""sip_hostile_test.py BUILD [CASE...]: the SIP legs among people who mean harm.

Goal: whoever reaches a leg cannot hurt the calls that go through it: 300 slow,
half-open and garbage connections over TCP and TLS, messages that lie about
themselves, and more requests than can be answered cost no legitimate answer, no
media packet and no memory to speak of; what is dropped is counted.
Method: sluiceload's calls run and are judged by it; the attackers are a process
of their own; what came is held against what the daemon says became of it."""

import contextlib
import json
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import hostile_test  # noqa: E402
import load_test  # noqa: E402
import sip_messages  # noqa: E402
import sip_world  # noqa: E402
from hostile_test import Load, attackers  # noqa: E402
from sip_attackers import ATTACKERS, HEADER, loiter  # noqa: E402
from sip_world import (  # noqa: E402
    LEG, NET, PATIENCE_S, SEED, TCP_PORT, TLS_PORT, UDP_PORT, Daemon, Pinger,
    books, wait_for)

BUILD = pathlib.Path()
WINDOWS, WINDOW_S = 3, 2.5
CALLS_PER_S = 40  # over each transport
SESSIONS = 10
# What the project promises its users under this attack.
P99_MS_MAX = 50
PEAK_GROWTH_KIB_MAX = 64 * 1024
# From one round of bad messages to the next.
ROUND_GROWTH_KIB_MAX = 8 * 1024

PLAIN = """
[sip]
domains = ["example.com"]
[[sip.leg]]
trusted = true
listen = ["udp:{leg}:{udp}", "tcp:{leg}:{tcp}"{tls}]
{more}"""


def config(tls: str = "", more: str = "") -> str:
    return PLAIN.replace("{leg}", LEG).replace("{udp}", str(UDP_PORT)).replace(
        "{tcp}", str(TCP_PORT)).replace("{tls}", tls).replace("{more}", more)


# ---- tests -----------------------------------------------------------------

class Case(unittest.TestCase):
    def assert_unhurt(self, d: Daemon) -> None:
        """The same process, as it was before, still at work."""
        pinger = Pinger()
        self.addCleanup(pinger.close)
        pinger.ping()
        wait_for(lambda: d.fds() <= d.fds_at_start, "descriptors are closed")
        status = d.ask("status")
        self.assertEqual(status["pid"], d.pid)
        self.assertEqual((status["calls"], status["sockets"]), (0, 0))
        self.assertEqual(d.leg()["connections"], 0)
        growth = d.peak_kib() - d.peak_at_start_kib
        print(f"  memory peak grew {growth} KiB")
        self.assertLess(growth, PEAK_GROWTH_KIB_MAX)

    def assert_books(self, d: Daemon) -> dict:
        wait_for(lambda: len(set(books(d.counters()))) == 1,
                 "of every message it is told what became of it")
        return d.counters()


class Callers:
    """sluiceload's calls over every transport at once."""

    def __init__(self, tls: list[str]):
        self.tls, self.answered = tls, 0

    def window(self) -> float:
        """The worst 99th percentile of the transports, ms."""
        running = []
        with contextlib.ExitStack() as stack:
            for i, transport in enumerate(("udp", "tcp", "tls")):
                out = stack.enter_context(
                    tempfile.NamedTemporaryFile(suffix=".json"))
                process = subprocess.Popen(
                    [str(a) for a in (
                        BUILD / "tools/sluiceload", "sip", "call", "--proxy",
                        f"{LEG}:{TLS_PORT if transport == 'tls' else UDP_PORT}",
                        "--transport", transport, "--uac",
                        f"{NET}.{10 + i}:21000", "--uas",
                        f"{NET}.{20 + i}:21001", "--rate", CALLS_PER_S,
                        "--seconds", WINDOW_S, "--warm-up", 0.05, "--timeout",
                        PATIENCE_S, "-q", "--json", out.name, *self.tls)],
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT, text=True)
                stack.callback(process.stdout.close)
                stack.callback(process.wait)
                stack.callback(process.kill)
                running.append((process, out.name))
            return max(self.result_of(*one) for one in running)

    def result_of(self, process, name: str) -> float:
        said, _ = process.communicate(timeout=3 * PATIENCE_S)
        assert process.returncode == 0, said
        result = json.loads(pathlib.Path(name).read_text())
        whole = result["whole_run"]
        assert whole["started"] == whole["answered"] > CALLS_PER_S, result
        assert not whole["connections_lost"], result
        self.answered += whole["answered"]
        return result["answer_us"]["p99"] / 1e3


@unittest.skipUnless(shutil.which("openssl"), "openssl is not installed")
class Connections(Case):
    def test_that_are_slow_or_half_open_cost_no_answer(self):
        with tempfile.TemporaryDirectory(prefix="sip-hostile-") as folder:
            certificate, key = sip_world.make_certificate(
                pathlib.Path(folder), LEG, f"{NET}.12", f"{NET}.22")
            with Daemon(BUILD, config(
                    f', "tls:{LEG}:{TLS_PORT}"',
                    f'tls_certificate = "{certificate}"\ntls_key = "{key}"\n'
                    f'tls_ca = "{certificate}"\n[sip.pool]\n'
                    "min_expire_s = 2\nmax_expire_s = 3\n")) as d:
                self.attack(d, ["--tls-certificate", certificate, "--tls-key",
                                key, "--tls-ca", certificate])

    def attack(self, d: Daemon, tls: list[str]) -> None:
        callers = Callers(tls)
        with Load(d, SESSIONS) as load:
            with attackers((loiter, SEED)) as opened:
                wait_for(lambda: d.leg()["counters"]["accepted"] > ATTACKERS,
                         "the attack begins")
                windows = [callers.window() for _ in range(WINDOWS)]
                self.assertTrue(load.is_up())
            result = load.stop()
        print(f"  {opened[0]} bad connections (seed {SEED}), "
              f"{callers.answered} calls, all answered; p99 of {WINDOWS} "
              "windows: " + ", ".join(f"{ms:.1f}" for ms in windows) + " ms")
        print(f"  {result['whole_run']['sent']} packets of running calls, "
              f"{result['lost']} lost")
        # The one duration asserted: it is promised. The median of three
        # windows, since a machine that is busy with others for a while says
        # nothing about the proxy.
        self.assertLess(sorted(windows)[WINDOWS // 2], P99_MS_MAX)
        self.assertEqual(result["lost"], 0)
        self.assertGreater(opened[0], ATTACKERS)
        wait_for(lambda: d.leg()["connections"] == 0, "all are closed")
        leg = d.leg()["counters"]
        print("  " + ", ".join(f"{name} {leg[name]}" for name in (
            "timed_out", "idle_closed", "bad_frames", "handshake_failures")))
        for name in ("timed_out", "idle_closed", "bad_frames",
                     "handshake_failures"):
            self.assertGreater(leg[name], 0, name)
        self.assertEqual(leg["evicted"] + leg["refused_full"], 0)
        # No attacker has asked a whole question.
        self.assert_books(d)
        self.assert_unhurt(d)


class Places(Case):
    MOST, NEWCOMERS = 40, 60

    def test_are_made_for_a_newcomer_who_has_something_to_say(self):
        limited = config(more=f"[sip.pool]\nmax_connections = {self.MOST}\n"
                         "min_expire_s = 60\n")
        with Daemon(BUILD, limited) as d:
            with contextlib.ExitStack() as stack:
                def squat(i):
                    stack.enter_context(socket.create_connection(
                        (LEG, TCP_PORT), PATIENCE_S, (f"{NET}.66", 0))).sendall(
                            HEADER[:i % len(HEADER)])
                for i in range(ATTACKERS):
                    squat(i)
                for i in range(self.NEWCOMERS):
                    squat(i)
                    with socket.create_connection((LEG, TCP_PORT), PATIENCE_S,
                                                  (f"{NET}.67", 0)) as newcomer:
                        newcomer.sendall(sip_messages.ping(f"new-{i}", "TCP"))
                        self.assertIn(b"SIP/2.0 200", newcomer.recv(65536))
                leg = d.leg()
                self.assertLessEqual(leg["connections"], self.MOST)
                self.assertGreaterEqual(leg["counters"]["evicted"],
                                        ATTACKERS - self.MOST)
            self.assert_unhurt(d)

    def test_are_lost_by_whoever_asks_and_does_not_listen(self):
        question = sip_messages.ping("deaf", "TCP") * 100
        with Daemon(BUILD, config()) as d, socket.socket() as deaf:
            # Not what grows to megabytes; less, and the kernel throws away what
            # tells it of a window.
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
            deaf.settimeout(PATIENCE_S)
            deaf.connect((LEG, TCP_PORT))
            with contextlib.suppress(ConnectionError):
                while True:
                    deaf.sendall(question)
            self.assertGreater(d.leg()["counters"]["slow_readers"], 0)
            self.assert_unhurt(d)


class Flood(Case):
    RATE, SECONDS = 200_000, 4  # more than anybody can handle

    def test_of_requests_costs_running_media_no_packet(self):
        with Daemon(BUILD, config()) as d:
            with Load(d, SESSIONS) as load:
                status, flood, said = load_test.sluiceload(
                    "sip", "options", "--proxy", f"{LEG}:{UDP_PORT}", "--uac",
                    f"{NET}.12:21000", "--uas", f"{NET}.13:21001", "--rate",
                    self.RATE, "--seconds", self.SECONDS, "--warm-up", 0.05,
                    "--timeout", 1, "-q")
                self.assertEqual(status, 0, said)
                (shard,) = d.ask("stats")["shards"]
                self.assertEqual(sum(shard["drops"].values()), 0, shard)
                media = load.stop()
            whole, sent = flood["whole_run"], media["whole_run"]["sent"]
            # What had arrived at the generator's own sockets when it had no
            # time to read them was not lost by the relay.
            own = media["generator"]["receive_drops"]
            print(f"  {whole['started']} requests begun, {whole['answered']} "
                  f"answered; {sent} packets of {SESSIONS} sessions, "
                  f"{media['lost']} lost, {own} of them by the generator")
            self.assertGreater(whole["answered"], 0)
            self.assertGreater(sent, SESSIONS * 50 * self.SECONDS)
            self.assertLessEqual(media["lost"], own)
            self.assertEqual(media["faults"] + media["silent_streams"], 0)
            self.assert_books(d)
            self.assert_unhurt(d)


class BadMessages(Case):
    ROUNDS = 3

    def over_udp(self, d: Daemon, pinger: Pinger, sock, cases) -> None:
        for i, octets in enumerate(cases):
            # Nothing waits in a buffer that could run over.
            if i % 20 == 0:
                pinger.ping()
            sock.sendto(octets, (LEG, UDP_PORT))
        pinger.ping()

    def over_tcp(self, d: Daemon, pinger: Pinger, cases) -> None:
        for i, octets in enumerate(cases):
            if i % 20 == 0:
                pinger.ping()
            with socket.create_connection((LEG, TCP_PORT), PATIENCE_S) as sock:
                # Closed on us in the middle is an answer, too.
                with contextlib.suppress(OSError):
                    sock.sendall(octets)
                    sock.shutdown(socket.SHUT_WR)
                    while sock.recv(65536):
                        pass
        pinger.ping()

    def test_are_dropped_and_counted(self):
        cases = sip_messages.bad_messages(SEED)
        print(f"  {len(cases)} messages (seed {SEED})")
        with Daemon(BUILD, config()) as d, contextlib.closing(
                Pinger()) as pinger, sip_messages.callee(), socket.socket(
                    socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((f"{NET}.66", 0))
            after = []
            for _ in range(self.ROUNDS):
                self.over_udp(d, pinger, sock, cases)
                self.over_tcp(d, pinger, cases)
                after.append(d.now_kib())
            numbers = self.assert_books(d)
            leg = d.leg()["counters"]
            # No datagram was lost before it was counted, and of what was
            # counted it is told what became of it.
            short = sum(len(octets) < 13 for octets in cases)
            self.assertEqual(leg["datagrams_in"], pinger.asked + self.ROUNDS *
                             (len(cases) - short))
            self.assertEqual(leg["datagrams_in"] + leg["frames_in"],
                             books(numbers)[0])
            self.assertGreater(leg["bad_frames"], 0)
            self.assertGreater(numbers["drop unparsable"], 0)
            self.assertGreater(numbers["drop bad_response"], 0)
            print("  memory after each round:",
                  ", ".join(f"{kib} KiB" for kib in after))
            self.assertLess(after[-1] - after[0], ROUND_GROWTH_KIB_MAX)
            self.assert_unhurt(d)


def set_build(build: pathlib.Path) -> None:
    global BUILD
    BUILD = hostile_test.BUILD = load_test.BUILD = build


if __name__ == "__main__":
    sys.exit(sip_world.run_tests(__name__, __doc__, set_build))
