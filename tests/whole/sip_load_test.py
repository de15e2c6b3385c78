#!/usr/bin/env python3
"""sip_load_test.py BUILD [CASE...]: sluiceload sip, the instrument.

Goal: what is answered, refused, lost and too much is told as just that, over
every transport, straight from side to side and through sluiced.
Method: both sides of sluiceload with nothing in between, peers that do one thing
wrong, and sluiced itself."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import unittest.mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import load_test  # noqa: E402
import run_whole  # noqa: E402
from load_test import sluiceload  # noqa: E402

BUILD = pathlib.Path()
# Addresses of this process alone, so that two runs on a machine do not meet.
NET = f"127.{os.getpid() >> 8 & 0x7f | 0x40}.{os.getpid() & 0xff}"
OURS = ["--uac", f"{NET}.12:21000", "--uas", f"{NET}.13:21001"]
SCENARIOS = {"options": 2, "message": 2, "register": 2, "call": 6}
MEDIA_ODD = ("failed", "no_place", "late", "lost", "misrouted", "reordered",
             "duplicates", "too_old", "wrong_source", "corrupted", "foreign",
             "send_refused")
ODD = ("timed_out", "failed", "retransmissions", "resent", "late", "unexpected",
       "foreign", "malformed", "too_long", "send_refused", "connections_lost")

SIP = """
[sip]
domains = ["example.com"]
anchor = "{anchor}"
[[sip.leg]]
name = "default"
trusted = true
listen = ["udp:{ip}:{port}", "tcp:{ip}:{port}"]
chain = ["authorize", "registrar", "proxy"]
[sip.auth]
users = "{users}"
"""


def sip(scenario, *arguments, **options):
    # A quiet machine is not needed: what is late is answered all the same.
    patience = [] if "--timeout" in arguments else ["--timeout", 60]
    return sluiceload("sip", scenario, *OURS, *patience, "-q", "--warm-up",
                      0.05, *arguments, **options)


def direct(scenario, *arguments, **options):
    return sip(scenario, "--loopback-self", *arguments, **options)


class Case(unittest.TestCase):
    def assert_clean(self, result, **wanted):
        """These oddities, every other one zero, and every number in place."""
        whole = result["whole_run"]
        self.assertEqual({name: whole[name] for name in ODD},
                         dict.fromkeys(ODD, 0) | wanted)
        self.assertEqual(whole["started"], whole["answered"] +
                         whole["failed"] + whole["timed_out"])

    def assert_media(self, result, packets):
        """So many packets of each side of each call, all of which came."""
        whole = result["whole_run"]
        self.assertEqual({name: whole["media_" + name] for name in MEDIA_ODD},
                         dict.fromkeys(MEDIA_ODD, 0))
        self.assertGreater(whole["media_calls"], 0)
        self.assertEqual(whole["media_calls"], whole["answered"])
        self.assertEqual(whole["media_sent"],
                         2 * packets * whole["media_calls"])
        self.assertEqual(whole["media_received"], whole["media_sent"])


class Straight(Case):
    def test_every_scenario_is_answered_over_udp_and_tcp(self):
        for transport in "udp", "tcp":
            for scenario, messages in SCENARIOS.items():
                with self.subTest(f"{scenario} over {transport}"):
                    status, result, said = direct(
                        scenario, "--transport", transport, "--rate", 400,
                        "--seconds", 0.3, "--strict", "--connections", 3)
                    self.assertEqual(status, 0, said)
                    self.assert_clean(result)
                    whole = result["whole_run"]
                    self.assertGreater(whole["answered"], 50)
                    self.assertEqual(
                        whole["uac_received"] + whole["uas_received"],
                        messages * whole["answered"])
                    self.assertEqual(result["failed_ratio"], 0)
                    self.assertEqual(result["transport"], transport)
                    self.assertGreater(result["answer_us"]["p50"], 0)

    def test_calls_are_answered_over_tls(self):
        if not shutil.which("openssl"):
            self.skipTest("openssl is not installed")
        with tempfile.TemporaryDirectory(prefix="sip-load-") as folder:
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                 "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                 "/CN=load", "-addext", f"subjectAltName=IP:{NET}.13",
                 "-keyout", f"{folder}/key", "-out", f"{folder}/certificate"],
                check=True, stderr=subprocess.DEVNULL)
            tls = ["--transport", "tls", "--tls-key", f"{folder}/key",
                   "--tls-certificate", f"{folder}/certificate"]
            status, result, said = direct(
                "call", *tls, "--tls-ca", f"{folder}/certificate", "--rate",
                200, "--seconds", 0.3, "--strict")
            self.assertEqual(status, 0, said)
            self.assert_clean(result)
            # Without trust nothing goes, and it is told why.
            status, result, said = direct("options", *tls, "--rate", 50,
                                          "--seconds", 0.2, "--timeout", 0.5)
        self.assertEqual(status, 0, said)
        self.assertEqual(result["whole_run"]["answered"], 0)
        self.assertGreater(result["whole_run"]["connections_lost"], 0)
        self.assertIn("connections were lost", said)

    def test_more_workers_do_not_mix_their_transactions_up(self):
        status, result, said = direct("call", "--cores", "0,1", "--rate", 400,
                                      "--seconds", 0.3, "--spacing",
                                      "exponential", "--strict")
        self.assertEqual(status, 0, said)
        self.assert_clean(result)
        self.assertEqual(result["generator"]["workers"], 2)

    def test_calls_carry_media_over_udp_and_tcp_and_from_every_worker(self):
        for arguments in (["--transport", "udp"],
                          ["--transport", "tcp", "--connections", 3],
                          ["--cores", "0,1", "--spacing", "exponential"]):
            with self.subTest(arguments):
                status, result, said = direct(
                    "call", *arguments, "--media", 0.2, "--rate", 50,
                    "--seconds", 0.5, "--strict")
                self.assertEqual(status, 0, said)
                self.assert_clean(result)
                self.assert_media(result, 10)
                self.assertGreater(result["media_us"]["p50"], 0)
                self.assertIn("0 misrouted", said)

    def test_without_media_nothing_is_said_of_it(self):
        status, result, said = direct("call", "--rate", 50, "--seconds", 0.1)
        self.assertEqual(status, 0, said)
        self.assertNotIn("media", json.dumps(result) + said)

    def test_refusals_are_counted_by_code(self):
        for scenario in "options", "call":
            status, result, said = direct(scenario, "--answer", 486, "--rate",
                                          100, "--seconds", 0.2)
            self.assertEqual(status, 0, said)
            whole = result["whole_run"]
            self.assertEqual(result["failed_by_code"],
                             {"486": whole["started"]})
            self.assert_clean(result, failed=whole["started"])
        status, _, said = direct("options", "--answer", 503, "--rate", 100,
                                 "--seconds", 0.1, "--strict")
        self.assertEqual(status, 1, said)
        self.assertIn("--strict", said)

    def test_what_the_generator_cannot_do_is_not_put_down_to_the_proxy(self):
        status, result, said = direct("options", "--rate", 900000, "--seconds",
                                      0.3, "--timeout", 0.5)
        self.assertEqual(status, 0, said)
        self.assertTrue(result["generator"]["bottleneck"])
        self.assertIn("the rate is its limit", said)

    def test_an_interrupt_ends_it_with_its_result(self):
        def interrupt(process):
            # It hears signals before it binds its address.
            bound = "%s:%04X" % (
                socket.inet_aton(f"{NET}.12")[::-1].hex().upper(), 21000)
            while process.poll() is None and \
                    bound not in pathlib.Path("/proc/net/udp").read_text():
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
        status, result, said = direct("options", "--seconds", 600, "--rate",
                                      100, started=interrupt)
        self.assertEqual(status, 0, said)
        self.assertTrue(result["interrupted"])
        self.assert_clean(result)

    def test_what_makes_no_sense_is_refused(self):
        for arguments, words in (
                ([], "scenario"),
                (["options"], "--proxy"),
                (["options", "--loopback-self", "--proxy", "127.0.0.1:1"],
                 "--proxy"),
                (["options", "--proxy", "nowhere:5060"], "nowhere"),
                (["options", "--proxy", "127.0.0.1:0"], "ip:port"),
                (["options", "--loopback-self", "--uac", "x"], "--uac"),
                (["options", "--loopback-self", "--to", "a b"], "--to"),
                (["options", "--loopback-self", "--user", "a@b"], "--user"),
                (["options", "--loopback-self", "--user-file", "/nowhere"],
                 "/nowhere"),
                (["options", "--loopback-self", "--rate", 1000000,
                  "--timeout", 60], "places"),
                (["options", "--loopback-self", "--pid", "-4"], "--pid"),
                (["options", "--loopback-self", "--transport", "tls"],
                 "--tls-certificate"),
                (["call", "--loopback-self", "--password", "x"], "challenge"),
                (["options", "--loopback-self", "--media", 1], "only calls"),
                (["call", "--loopback-self", "--media", 0], "--media"),
                (["call", "--loopback-self", "--media", 60, "--rate", 1000],
                 "20000 are possible"),
                (["wedding", "--loopback-self"], "wedding")):
            status, _, said = sluiceload("sip", *arguments)
            self.assertIn(status, (1, 2), (arguments, said))
            self.assertIn(words, said)


class BadProxies(Case):
    @contextlib.contextmanager
    def udp_peer(self, answer, to=lambda sender: sender):
        """A socket whose `answer(message)` goes back, or to `to(sender)`: an
        octet string or None."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind((f"{NET}.14", 0))

            def serve():
                while True:
                    message, sender = s.recvfrom(65536)
                    if message == b"end":
                        return
                    reply = answer(message)
                    if reply is not None:
                        s.sendto(reply, to(sender))
            thread = threading.Thread(target=serve)
            thread.start()
            try:
                yield "%s:%d" % s.getsockname()
            finally:
                s.sendto(b"end", s.getsockname())
                thread.join()

    def run_against(self, answer, *arguments):
        with self.udp_peer(answer) as peer:
            status, result, said = sip("options", "--proxy", peer, "--rate",
                                       50, "--seconds", 0.3, *arguments)
        self.assertEqual(status, 0, said)
        return result, said

    def between_sides(self, change):
        """Somebody who passes `change(message)` of each message on."""
        sides = {f"{NET}.12": (f"{NET}.13", 21001),
                 f"{NET}.13": (f"{NET}.12", 21000)}
        return self.udp_peer(change, lambda sender: sides[sender[0]])

    def media_through(self, change):
        """Calls with media through him: the counters of the whole run and what
        was said. It has to end badly."""
        with self.between_sides(change) as peer:
            status, result, said = sip(
                "call", "--proxy", peer, "--to", f"{NET}.13", "--media", 0.1,
                "--rate", 50, "--seconds", 0.3, "--strict")
        self.assertEqual(status, 1, said)
        self.assertIn("--strict: media", said)
        self.assert_clean(result)
        self.assertGreater(result["whole_run"]["answered"], 0)
        return result["whole_run"], said

    def test_media_that_goes_nowhere_is_lost(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hole:
            hole.bind((f"{NET}.13", 0))
            port = b"m=audio %d" % hole.getsockname()[1]
            # The answer's: what the calling side sends, half of all.
            whole, said = self.media_through(
                lambda m: re.sub(rb"m=audio \d+", port, m)
                if m.startswith(b"SIP/2.0") else m)
        self.assertEqual(whole["media_lost"], whole["media_sent"] // 2)
        self.assertEqual(whole["media_received"], whole["media_sent"] // 2)
        self.assertEqual(whole["media_misrouted"], 0)
        self.assertIn("50.0000 %", said)

    def test_media_of_another_call_is_misrouted(self):
        ports = []

        def to_the_first(message):
            named = re.search(rb"m=audio \d+", message)
            if not named or not message.startswith(b"SIP/2.0"):
                return message
            ports.append(named[0])
            return message.replace(named[0], ports[0])
        whole, said = self.media_through(to_the_first)
        self.assertGreater(whole["media_misrouted"], 0)
        self.assertEqual(whole["media_misrouted"], whole["media_lost"])
        self.assertIn(f"{whole['media_misrouted']} misrouted", said)

    def test_a_call_that_is_told_no_address_has_no_media(self):
        whole, said = self.media_through(
            lambda m: m.replace(b"m=audio", b"m=video"))
        self.assertEqual(whole["media_failed"], whole["answered"])
        self.assertEqual(whole["media_sent"], 0)
        self.assertIn("without an address", said)

    def test_an_interrupt_ends_the_calls_that_talk(self):
        processes = []

        def interrupt_once_up(message):
            if message.startswith(b"ACK") and processes:
                processes.pop().send_signal(signal.SIGINT)
            return message
        with self.between_sides(interrupt_once_up) as peer:
            status, result, said = sip(
                "call", "--proxy", peer, "--to", f"{NET}.13", "--media", 60,
                "--rate", 5, "--seconds", 600, started=processes.append)
        self.assertEqual(status, 0, said)
        self.assertTrue(result["interrupted"])
        self.assert_clean(result)
        whole = result["whole_run"]
        self.assertGreater(whole["media_calls"], 0)
        self.assertEqual(whole["media_received"], whole["media_sent"])

    def test_silence_is_a_timeout(self):
        result, said = self.run_against(lambda m: None, "--timeout", 0.2)
        whole = result["whole_run"]
        self.assert_clean(result, timed_out=whole["started"])
        self.assertEqual(result["failed_ratio"], 1)

    def test_silence_is_asked_again_when_told_so(self):
        result, _ = self.run_against(lambda m: None, "--retransmit",
                                     "--timeout", 1)
        whole = result["whole_run"]
        self.assertGreater(whole["resent"], 0)

    def test_rubbish_is_malformed(self):
        result, said = self.run_against(lambda m: b"rubbish", "--timeout", 0.2)
        whole = result["whole_run"]
        self.assertGreater(whole["malformed"], 0)
        self.assertIn("malformed", said)
        self.assertEqual(whole["answered"], 0)

    def test_a_via_too_many_is_malformed(self):
        def answer(message):
            head = message.split(b"\r\n", 1)[1]
            return b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.9\r\n" + head
        result, _ = self.run_against(answer, "--timeout", 0.2)
        self.assertGreater(result["whole_run"]["malformed"], 0)
        self.assertEqual(result["whole_run"]["answered"], 0)


class Sluiced(Case):
    @classmethod
    def setUpClass(cls):
        if not (BUILD / "tools/sluiced").is_file():
            raise unittest.SkipTest("sluiced is not built")

    @contextlib.contextmanager
    def sluiced(self, anchor="cross-leg"):
        """A sluiced with a leg, asking REGISTERs for passwords: its address,
        its process and its folder."""
        with tempfile.TemporaryDirectory(prefix="sip-load-") as folder:
            users = pathlib.Path(folder, "users")
            users.write_text("".join(f"u{i}:example.com:secret{i}\n"
                                     for i in range(20)))
            users.chmod(0o600)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            config = run_whole.CONFIG + SIP.format(
                ip="127.0.0.1", port=port, users=users, anchor=anchor)
            with unittest.mock.patch.object(run_whole, "CONFIG", config), \
                    run_whole.daemon(BUILD) as run:
                yield (f"127.0.0.1:{port}", load_test.Sluiced.pid_of(run),
                       run)

    def test_forwards_every_scenario(self):
        with self.sluiced() as (proxy, pid, _):
            for transport in "udp", "tcp":
                for scenario in "options", "message", "call":
                    with self.subTest(f"{scenario} over {transport}"):
                        status, result, said = sip(
                            scenario, "--proxy", proxy, "--transport",
                            transport, "--rate", 100, "--seconds", 0.3,
                            "--strict", "--pid", pid)
                        self.assertEqual(status, 0, said)
                        self.assert_clean(result)
                        self.assertGreater(
                            result["proxy"]["cpu_us_per_message"], 0)

    def test_carries_the_media_of_calls_through_its_relay(self):
        for anchor, share in ("always", 1), ("never", 0):
            with self.subTest(anchor), \
                    self.sluiced(anchor) as (proxy, _, folder):
                status, result, said = sip(
                    "call", "--proxy", proxy, "--media", 0.3, "--rate", 50,
                    "--seconds", 2, "--strict")
                asked = subprocess.run(
                    [BUILD / "tools/sluicectl", "-s", folder / "control.sock",
                     "-o", "json", "stats"], capture_output=True, check=True)
                self.assertEqual(status, 0, said)
                self.assert_clean(result)
                self.assert_media(result, 15)
                whole = result["whole_run"]
                shards = json.loads(asked.stdout)["shards"]
                for name, count in (("packets_in", whole["media_sent"]),
                                    ("packets_out", whole["media_received"])):
                    self.assertEqual(sum(s[name] for s in shards),
                                     share * count, name)

    def test_registers_with_passwords_and_not_without(self):
        with self.sluiced() as (proxy, _, _):
            register = ["register", "--proxy", proxy, "--rate", 100,
                        "--seconds", 0.3, "-n", 20]
            status, result, said = sip(*register, "--password", "secret{}",
                                       "--strict")
            self.assertEqual(status, 0, said)
            self.assert_clean(result)
            whole = result["whole_run"]
            self.assertEqual(whole["challenged"], whole["answered"])
            status, result, said = sip(*register)
            self.assertEqual(status, 0, said)
            self.assertEqual(list(result["failed_by_code"]), ["401"])


def main() -> int:
    global BUILD
    if len(sys.argv) < 2:
        print("usage: sip_load_test.py BUILD [CASE...]")
        return 2
    BUILD = load_test.BUILD = pathlib.Path(sys.argv[1]).resolve()
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
