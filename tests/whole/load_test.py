#!/usr/bin/env python3
"""sluiceload, the instrument: does each of its counters count?

Goal: whatever a relay does wrong is reported as just that and in that number;
what it does right is reported as right; what the generator itself cannot do is
not put down to the relay.
Method: relays that do one thing wrong a counted number of times
(bad_relay.py), a NAT helper that answers as told, and sluiced itself."""

import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import bad_relay  # noqa: E402
import run_whole  # noqa: E402
from bad_relay import Helper, Relay, UNDEF, frame, sometimes  # noqa: E402

BUILD = pathlib.Path()
# Addresses of this process alone, so that two runs on a machine do not meet.
NET = f"127.{os.getpid() >> 8 & 0x7f | 0x40}.{os.getpid() & 0xff}"
OURS = ["--from-ip", f"{NET}.2", "--to-ip", f"{NET}.3"]
TIMEOUT_S = 120


def sluiceload(*arguments, started=lambda process: None):
    """Runs it: (exit status, its JSON or None, what it said)."""
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        command = [BUILD / "tools/sluiceload", *arguments]
        if arguments[0] != "plan":
            command += ["--json", out.name]
        process = subprocess.Popen([str(c) for c in command],
                                   stdin=subprocess.DEVNULL, text=True,
                                   stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        started(process)
        try:
            said, errors = process.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        text = pathlib.Path(out.name).read_text()
        return (process.returncode, json.loads(text) if text else None,
                said + errors)


def plan(sessions: int) -> list[list[str]]:
    status, _, said = sluiceload("plan", "-n", str(sessions), *OURS)
    assert status == 0, said
    return [line.split() for line in said.splitlines()]


@contextlib.contextmanager
def relay_with_endpoints(sessions: int, fault=None):
    relay = Relay(fault)
    lines = []
    for i, (caller, callee) in enumerate(plan(sessions)):
        lines.append(" ".join(relay.add(i, caller, callee)))
    relay.start()
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(lines) + "\n")
        file.flush()
        try:
            yield relay, file.name
        finally:
            relay.stop()


class Case(unittest.TestCase):
    def through(self, fault=None, *arguments, sessions=4, rate=400,
                seconds=1.0, status=0):
        """A run through a relay with that fault: its JSON and the relay."""
        with relay_with_endpoints(sessions, fault) as (relay, endpoints):
            def started(process):
                relay.pid = process.pid
            pace = [] if "--flat-out" in arguments else ["--rate", rate]
            got, result, said = sluiceload(
                "rtp", "--endpoints", endpoints, *OURS, *pace, "--seconds",
                seconds, "--warm-up", 0.1, "--quiet", *arguments,
                started=started)
            self.assertEqual(got, status, said)
        self.assertIsNotNone(result, said)
        return result, relay

    def assert_counts(self, result, **wanted):
        """These numbers, and every other fault zero."""
        whole = result["whole_run"]
        names = ["reordered", "duplicates", "too_old", "misrouted",
                 "wrong_source", "corrupted", "foreign", "send_refused",
                 "peer_refused"]
        found = {name: whole[name] for name in names} | {
            "lost": result["lost"]}
        self.assertEqual(found, dict.fromkeys(found, 0) | wanted)


class AnHonestRelay(Case):
    def test_has_no_fault(self):
        result, _ = self.through(None, "--strict")
        self.assert_counts(result)
        self.assertEqual(result["silent_streams"], 0)
        self.assertGreater(result["whole_run"]["received"], 100)
        self.assertEqual(result["whole_run"]["received"],
                         result["whole_run"]["sent"])
        self.assertGreater(result["delay_us"]["p50"], 0)

    def test_has_none_with_rtcp_either(self):
        result, _ = self.through(None, "--strict", "--rtcp",
                                 "--rtcp-interval", "0.1")
        self.assertGreater(result["whole_run"]["rtcp_received"], 20)
        self.assertEqual(result["rtcp_lost"], 0)
        self.assert_counts(result)

    def test_has_none_for_other_sizes_and_bursts(self):
        for arguments in (["--payload", "40"], ["--payload", "1388"],
                          ["--burst", "4"], ["--connect"],
                          ["--cores", "0,1"]):
            result, _ = self.through(None, "--strict", *arguments,
                                     seconds=0.3)
            self.assert_counts(result)

    def test_has_none_flat_out(self):
        result, _ = self.through(None, "--strict", "--flat-out", "--window",
                                 "32", seconds=0.3)
        self.assert_counts(result)
        self.assertEqual(result["method"], "window")
        self.assertEqual(result["whole_run"]["window_timeouts"], 0)


class ABadRelay(Case):
    TIMES = 20

    def assert_one_fault(self, name, act, **counts):
        """A relay that does `act` 20 times; the counters that are to show it,
        True standing for 20."""
        result, relay = self.through(sometimes(7, self.TIMES, name, act))
        self.assertEqual(relay.done[name], self.TIMES)
        self.assert_counts(result, **{k: self.TIMES for k in counts})
        return result

    def test_that_drops_shows_as_lost(self):
        result = self.assert_one_fault("drop", bad_relay.drop, lost=True)
        self.assertAlmostEqual(result["loss_ratio"],
                               self.TIMES / result["whole_run"]["sent"])

    def test_that_duplicates_shows_as_duplicates(self):
        self.assert_one_fault("dup", bad_relay.duplicate, duplicates=True)

    def test_that_corrupts_shows_as_corrupted_and_lost(self):
        self.assert_one_fault("corrupt", bad_relay.corrupt, corrupted=True,
                              lost=True)

    def test_that_misroutes_shows_as_misrouted_and_lost(self):
        self.assert_one_fault("misroute", bad_relay.misroute(4),
                              misrouted=True, lost=True)

    def test_that_sends_out_of_another_port_shows_as_wrong_source(self):
        self.assert_one_fault("port", bad_relay.wrong_port(4),
                              wrong_source=True)

    def test_that_reorders_shows_as_reordered(self):
        result, relay = self.through(
            bad_relay.hold_back("reorder", 1, self.TIMES))
        self.assertEqual(relay.done["reorder"], self.TIMES)
        self.assert_counts(result, reordered=self.TIMES)

    def test_that_is_later_than_the_record_shows_as_too_old(self):
        # The record of a stream is 1024 packets long.
        result, _ = self.through(bad_relay.hold_back("late", 1100, 2),
                                 "--flat-out", "--window", "64", sessions=1,
                                 seconds=1.5)
        self.assertEqual(result["whole_run"]["too_old"], 2)
        self.assertEqual(result["whole_run"]["reordered"], 0)

    def test_that_is_silent_one_way_shows_its_silent_streams(self):
        result, _ = self.through(
            lambda relay, packet: packet.party == bad_relay.CALLEE)
        self.assertEqual(result["silent_streams"], 4)
        # Streams take turns, so the halves differ by a turn at most.
        self.assertAlmostEqual(result["lost"] * 2, result["whole_run"]["sent"],
                               delta=8)

    def test_that_forgets_rtcp_shows_as_rtcp_lost(self):
        result, _ = self.through(
            lambda relay, packet: packet.kind == bad_relay.RTCP, "--rtcp",
            "--rtcp-interval", "0.1")
        self.assertGreater(result["rtcp_lost"], 20)
        self.assertEqual(result["rtcp_lost"],
                         result["whole_run"]["rtcp_sent"])
        self.assert_counts(result)

    def test_that_sends_what_is_older_than_the_run_shows_as_foreign(self):
        kept = []

        def keep_or_replay(relay, packet):
            if packet.kind == bad_relay.RTP and not relay.done["old"]:
                relay.done["old"] = 1
                if kept:
                    relay.send(packet, data=kept[0])
                else:
                    kept.append(packet.data)
            return False
        first, _ = self.through(keep_or_replay, seconds=0.2)
        self.assert_counts(first)
        second, _ = self.through(keep_or_replay, seconds=0.2)
        self.assert_counts(second, foreign=1)

    def test_that_drops_gets_its_window_back_by_time(self):
        result, relay = self.through(sometimes(7, 8, "drop", bad_relay.drop),
                                     "--flat-out", "--window", "4",
                                     seconds=4)
        self.assertEqual(relay.done["drop"], 8)
        self.assert_counts(result, lost=8)
        # All that were lost early enough; the last may be under way at the end.
        self.assertGreaterEqual(result["whole_run"]["window_timeouts"], 4)
        self.assertLessEqual(result["whole_run"]["window_timeouts"], 8)

    def test_that_is_gone_shows_as_peer_refused(self):
        gone = bad_relay.udp_pair(bad_relay.IP)
        where = "%s:%d" % gone[0].getsockname()
        for s in gone:
            s.close()
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(f"{where} {where}\n")
            file.flush()
            status, result, said = sluiceload(
                "rtp", "--endpoints", file.name, *OURS, "--connect", "--rate",
                100, "--seconds", 0.5, "--quiet")
        self.assertEqual(status, 0, said)
        self.assertGreater(result["whole_run"]["peer_refused"], 0)
        self.assertEqual(result["whole_run"]["received"], 0)

    def test_fails_a_strict_run(self):
        result, _ = self.through(sometimes(7, 1, "dup", bad_relay.duplicate),
                                 "--strict", status=1)
        self.assert_counts(result, duplicates=1)


class TheGenerator(Case):
    def test_measures_a_delay_that_is_there(self):
        queue = []

        def hold_all(relay, packet):
            # Each packet leaves when the next four have come: at 100 packets/s
            # that is 40 ms.
            queue.append(packet)
            if len(queue) > 4:
                relay.send(queue.pop(0))
            return True
        result, _ = self.through(hold_all, sessions=1, rate=100)
        self.assertGreater(result["delay_us"]["p50"], 25_000)

    def test_says_that_it_cannot_keep_pace(self):
        status, result, said = sluiceload(
            "rtp", "--loopback-self", "-n", 10, *OURS, "--rate", 50_000_000,
            "--seconds", 0.3, "--quiet")
        self.assertEqual(status, 0, said)
        self.assertTrue(result["generator"]["bottleneck"])
        self.assertRegex(result["generator"]["doubts"][0], "of what was asked")
        self.assertIn("WARNING", said)

    def test_says_that_it_is_the_bottleneck_flat_out(self):
        status, result, said = sluiceload(
            "rtp", "--loopback-self", "-n", 200, *OURS, "--flat-out",
            "--seconds", 0.3, "--quiet")
        self.assertEqual(status, 0, said)
        self.assertTrue(any("bottleneck" in d
                            for d in result["generator"]["doubts"]), said)

    def test_has_no_doubt_of_a_load_that_is_none(self):
        status, result, said = sluiceload(
            "rtp", "--loopback-self", "-n", 2, *OURS, "--rate", 100,
            "--seconds", 2, "--quiet", "--strict")
        self.assertEqual(status, 0, said)
        self.assertEqual(result["generator"]["doubts"], [])

    def test_owns_up_to_packets_lost_at_its_own_sockets(self):
        copies = 40_000
        result, relay = self.through(
            sometimes(50, 1, "flood", bad_relay.flood(copies)), sessions=1)
        self.assertEqual(relay.done["flood"], 1)
        drops = result["generator"]["receive_drops"]
        self.assertGreater(drops, 0)
        self.assertTrue(any("generator's own sockets" in d
                            for d in result["generator"]["doubts"]))
        # What was not dropped was a duplicate but for one.
        self.assertLessEqual(result["whole_run"]["duplicates"],
                             copies - drops + result["lost"])

    def test_counts_sends_that_the_kernel_refuses(self):
        # Nobody may send to the broadcast address without asking for it.
        with tempfile.NamedTemporaryFile("w") as file:
            file.write("255.255.255.255:9000 255.255.255.255:9002\n")
            file.flush()
            status, result, said = sluiceload(
                "rtp", "--endpoints", file.name, *OURS, "--rate", 100,
                "--seconds", 0.2, "--quiet")
        self.assertEqual(status, 0, said)
        sent = result["whole_run"]["sent"]
        self.assertGreater(sent, 0)
        self.assertEqual(result["whole_run"]["send_refused"], sent)
        self.assertEqual(result["lost"], sent)

    def test_sends_at_the_natural_rate(self):
        status, result, said = sluiceload(
            "rtp", "--loopback-self", "-n", 5, *OURS, "--ptime", 10,
            "--seconds", 0.3, "--quiet")
        self.assertEqual(status, 0, said)
        self.assertEqual(result["rate_asked_pps"], 1000)

    def test_does_it_over_ipv6_too(self):
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:
            self.skipTest("no IPv6 on loopback")
        # Both parties on one address; ports that no other run of us takes.
        base = 20000 + os.getpid() % 2000 * 20
        status, result, said = sluiceload(
            "rtp", "--loopback-self", "-n", 2, "--from-ip", "::1", "--to-ip",
            "::1", "--bind-base", base, "--rate", 100, "--seconds", 0.3,
            "--rtcp", "--rtcp-interval", 0.1, "--strict", "--quiet")
        self.assertEqual(status, 0, said)
        self.assert_counts(result)

    def test_prints_progress_while_it_runs(self):
        _, _, said = sluiceload("rtp", "--loopback-self", "-n", 2, *OURS,
                                "--rate", 100, "--seconds", 1.3)
        self.assertRegex(said, r"(?m)^ +1\.\d s  sent +\d+/s  arrived")

    def test_measures_the_relays_process(self):
        result, _ = self.through(None, "--pid", os.getpid())
        self.assertGreater(result["relay"]["cpu_ns_per_packet"], 0)
        self.assertGreater(result["relay"]["rss_bytes"], 1 << 20)
        self.assertGreater(result["relay"]["fds"], 8)

    def test_says_when_that_process_is_gone(self):
        child = subprocess.Popen(["true"])
        child.wait()
        result, _ = self.through(None, "--pid", child.pid, seconds=0.2)
        self.assertTrue(result["relay"]["gone"])

    def test_refuses_what_makes_no_sense(self):
        for arguments, words in (
                (["rtp"], "one of --rpc"),
                (["rtp", "--loopback-self", "--rpc", "unix:/x"], "one of"),
                (["rtp", "--loopback-self", "--rate", "fast"], "--rate"),
                (["rtp", "--loopback-self", "--rate", "-1"], "--rate"),
                (["rtp", "--loopback-self", "--payload", "5"], "--payload"),
                (["rtp", "--loopback-self", "--payload", "5000"], "--payload"),
                (["rtp", "--loopback-self", "--from-ip", "localhost"],
                 "--from-ip"),
                (["rtp", "--loopback-self", "-n", "30000"], "do not fit"),
                (["rtp", "--loopback-self", "--bind-base", "20001"], "even"),
                (["rtp", "--loopback-self", "--share", "2", "--connect"],
                 "--share"),
                (["rtp", "--rpc", "8004"], "--rpc"),
                (["setup"], "--rpc"),
                (["fax"], "subcommand"), ([], "subcommand")):
            process = subprocess.run([BUILD / "tools/sluiceload", *arguments],
                                     capture_output=True, text=True)
            self.assertEqual(process.returncode, 2, (arguments, process))
            self.assertIn(words, process.stderr + process.stdout)

    def test_says_which_address_is_taken(self):
        with bad_relay.udp(f"{NET}.2", 20000):
            status, _, said = sluiceload("rtp", "--loopback-self", "-n", 1,
                                         *OURS, "--seconds", 0.1)
        self.assertEqual(status, 1)
        self.assertIn(f"{NET}.2:20000", said)


class TheNatHelper(Case):
    """How sluiceload behaves towards helpers of every manner."""

    @contextlib.contextmanager
    def helper(self, answer):
        with tempfile.TemporaryDirectory(prefix="load-") as folder:
            path = f"{folder}/rpc"
            helper = Helper(path, answer)
            helper.start()
            try:
                yield helper, f"unix:{path}"
            finally:
                helper.stop()

    def good_answers(self, relay, override=lambda verb, request: None):
        """Answers of a helper in front of `relay`, for `override` to change."""
        asked = {}

        def answer(verb, request):
            changed = override(verb, request)
            if changed is not None:
                return changed
            session = int(re.search(rb"caller-(\d+)", request)[1])
            if verb == "allocate":
                # The parties' addresses are the plan's, so both are known.
                if session not in asked:
                    asked[session] = relay.add(
                        session, f"{NET}.2:{20000 + 2 * session}",
                        f"{NET}.3:{20000 + 2 * session}")
                    return frame(bad_relay.allocated(asked[session][1]))
                return frame(bad_relay.allocated(asked[session][0]))
            return frame(bad_relay.number(1))
        return answer

    def run_with(self, override, *arguments, sessions=3):
        relay = Relay()
        with self.helper(self.good_answers(relay, override)) as (helper, rpc):
            relay.start()
            try:
                got = sluiceload("rtp", "--rpc", rpc, *OURS, "-n", sessions,
                                 "--parallel", 1, "--rate", 200, "--seconds",
                                 0.2, "--warm-up", 0, "--rpc-timeout-ms",
                                 500, *arguments)
            finally:
                relay.stop()
        return helper.verbs, *got

    def test_gets_three_requests_a_session_and_a_close(self):
        verbs, status, result, said = self.run_with(lambda v, r: None,
                                                    "--strict")
        self.assertEqual(status, 0, said)
        self.assertEqual(verbs, {"allocate": 6, "activate": 3, "close": 3})
        self.assertEqual(result["setup"]["sessions"], 3)
        self.assertGreater(result["setup"]["setups_per_s"], 0)
        self.assertEqual(result["setup"]["close_unknown"], 0)
        self.assertIn("set up 3 sessions", said)

    def test_is_closed_after_whatever_went_wrong(self):
        """The second session's set-up fails: the first and the second are
        closed, and the words say what happened."""
        def second(verb, reply):
            def override(asked, request):
                return reply if asked == verb and b"caller-1" in request \
                    else None
            return override
        cases = (
            (second("allocate", frame(UNDEF)), "session 1: allocate: the "
             "helper says undef"),
            (second("activate", frame(UNDEF)), "session 1: activate: the "
             "helper says undef"),
            (second("allocate", frame(bad_relay.number(3))),
             "that the protocol does not know"),
            (second("activate", frame(bad_relay.number(7))),
             "that the protocol does not know"),
            (second("allocate", b""), "without a whole reply"),
            (second("allocate", b"\0\0\0\x20\x05"), "without a whole reply"),
            (second("allocate", b"\x7f\xff\xff\xff"), "2147483647"),
            (second("allocate", frame(b"rubbish")), "session 1"))
        for override, words in cases:
            verbs, status, _, said = self.run_with(override)
            self.assertEqual(status, 1, said)
            self.assertIn(words, said)
            self.assertEqual(verbs["close"], 2, said)

    def test_that_is_full_is_told_with_what_it_took(self):
        relay = Relay()

        def full(verb, request):
            return frame(UNDEF) if verb == "allocate" and \
                b"caller-2" in request else None
        with self.helper(self.good_answers(relay, full)) as (helper, rpc):
            relay.start()
            try:
                status, result, said = sluiceload(
                    "setup", "--rpc", rpc, *OURS, "-n", 9, "--parallel", 1)
            finally:
                relay.stop()
        self.assertEqual(status, 1, said)
        self.assertEqual(result["sessions_asked"], 9)
        self.assertEqual(result["setup"]["sessions"], 2)
        self.assertIn("session 2", said)
        self.assertEqual(helper.verbs["close"], 3)

    def test_that_forgot_its_sessions_is_reported(self):
        _, status, result, said = self.run_with(
            lambda v, r: frame(UNDEF) if v == "close" else None)
        self.assertEqual(status, 0, said)
        self.assertEqual(result["setup"]["close_unknown"], 3)
        self.assertIn("no longer knew 3", said)

    def test_that_is_not_there_is_named(self):
        status, _, said = sluiceload("rtp", "--rpc", "unix:/nowhere/rpc",
                                     *OURS, "-n", 1)
        self.assertEqual(status, 1)
        self.assertIn("/nowhere/rpc", said)

    def test_that_hangs_costs_one_patience(self):
        with tempfile.TemporaryDirectory(prefix="load-") as folder, \
                socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as mute:
            mute.bind(f"{folder}/rpc")
            mute.listen(64)
            status, _, said = sluiceload(
                "rtp", "--rpc", f"unix:{folder}/rpc", *OURS, "-n", 1000,
                "--rpc-timeout-ms", 50)
        self.assertEqual(status, 1, said)

    def test_is_closed_after_an_interrupt(self):
        relay = Relay()
        with self.helper(self.good_answers(relay)) as (helper, rpc):
            relay.start()
            try:
                def interrupt(process):
                    deadline = time.monotonic() + TIMEOUT_S
                    while relay.seen < 10 and process.poll() is None and \
                            time.monotonic() < deadline:
                        time.sleep(0.01)
                    process.send_signal(signal.SIGINT)
                status, result, said = sluiceload(
                    "rtp", "--rpc", rpc, *OURS, "-n", 3, "--rate", 200,
                    "--seconds", 600, started=interrupt)
            finally:
                relay.stop()
        self.assertEqual(status, 0, said)
        self.assertTrue(result["interrupted"])
        self.assertEqual(helper.verbs["close"], 3)
        self.assert_counts(result)


class Sluiced(Case):
    @classmethod
    def setUpClass(cls):
        if not (BUILD / "tools/sluiced").is_file():
            raise unittest.SkipTest("sluiced is not built")

    def test_carries_rtp_and_rtcp_without_a_fault(self):
        with run_whole.daemon(BUILD) as folder:
            status, result, said = sluiceload(
                "rtp", "--rpc", f"unix:{folder}/nathelper.sock", *OURS, "-n",
                20, "--rate", 1000, "--seconds", 1, "--rtcp",
                "--rtcp-interval", 0.3, "--strict")
        self.assertEqual(status, 0, said)
        self.assert_counts(result)
        self.assertEqual(result["setup"]["close_unknown"], 0)

    def test_carries_calls_that_share_an_address(self):
        with run_whole.daemon(BUILD) as folder:
            status, result, said = sluiceload(
                "rtp", "--rpc", f"unix:{folder}/nathelper.sock", *OURS, "-n",
                20, "--share", 5, "--rate", 1000, "--seconds", 0.5,
                "--strict")
        self.assertEqual(status, 0, said)
        self.assert_counts(result)

    def test_has_every_descriptor_back_after_the_closes(self):
        # The ring may hold the sockets itself; then they are no descriptors.
        for engine in "epoll", "io_uring":
            with self.subTest(engine), \
                    run_whole.daemon(BUILD, engine=engine) as folder:
                pid = self.pid_of(folder)
                status, result, said = sluiceload(
                    "setup", "--rpc", f"unix:{folder}/nathelper.sock", *OURS,
                    "-n", 100, "--pid", pid)
                self.assertEqual(status, 0, said)
                relay = result["relay"]
                before = relay["before"]["fds"]
                if engine == "epoll":
                    self.assertGreaterEqual(relay["up"]["fds"], before + 400)
                self.assertIn("rss_bytes_per_session", relay)
                self.assertTrue(self.waits_for(
                    lambda: len(os.listdir(f"/proc/{pid}/fd")) <= before))

    @staticmethod
    def waits_for(condition) -> bool:
        deadline = time.monotonic() + 20
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.0005)
        return True

    @staticmethod
    def pid_of(folder: pathlib.Path) -> int:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            s.connect(f"{folder}/nathelper.sock")
            credentials = s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED,
                                       12)
        return int.from_bytes(credentials[:4], sys.byteorder)


def main() -> int:
    global BUILD
    if len(sys.argv) < 2:
        print("usage: load_test.py BUILD [CASE...]")
        return 2
    BUILD = pathlib.Path(sys.argv[1]).resolve()
    loader = unittest.TestLoader()
    module = sys.modules[__name__]
    suite = loader.loadTestsFromNames(sys.argv[2:], module) \
        if sys.argv[2:] else loader.loadTestsFromModule(module)
    result = unittest.TextTestRunner(stream=sys.stdout).run(suite)
    failed = len(result.failures) + len(result.errors)
    skipped = len(result.skipped)
    passed = result.testsRun - failed - skipped
    print(f"{passed} passed, {failed} failed" +
          (f", {skipped} skipped" if skipped else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
