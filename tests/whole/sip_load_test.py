#!/usr/bin/env python3
"""sip_load_test.py BUILD [CASE...]: sluiceload sip, the instrument.

Goal: what is answered, refused, lost and too much is told as just that, over
every transport, straight from side to side and through sluiced.
Method: both sides of sluiceload with nothing in between, peers that do one thing
wrong, and sluiced itself."""

import contextlib
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
ODD = ("timed_out", "failed", "retransmissions", "resent", "late", "unexpected",
       "foreign", "malformed", "too_long", "send_refused", "connections_lost")

SIP = """
[sip]
domains = ["example.com"]
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
                (["wedding", "--loopback-self"], "wedding")):
            status, _, said = sluiceload("sip", *arguments)
            self.assertIn(status, (1, 2), (arguments, said))
            self.assertIn(words, said)


class BadProxies(Case):
    @contextlib.contextmanager
    def udp_peer(self, answer):
        """A socket whose `answer(message)` goes back: an octet string or
        None."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind((f"{NET}.14", 0))

            def serve():
                while True:
                    message, sender = s.recvfrom(65536)
                    if message == b"end":
                        return
                    reply = answer(message)
                    if reply is not None:
                        s.sendto(reply, sender)
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
    def sluiced(self):
        """A sluiced with a leg, asking REGISTERs for passwords: its address
        and its process."""
        with tempfile.TemporaryDirectory(prefix="sip-load-") as folder:
            users = pathlib.Path(folder, "users")
            users.write_text("".join(f"u{i}:example.com:secret{i}\n"
                                     for i in range(20)))
            users.chmod(0o600)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            config = run_whole.CONFIG + SIP.format(
                ip="127.0.0.1", port=port, users=users)
            with unittest.mock.patch.object(run_whole, "CONFIG", config), \
                    run_whole.daemon(BUILD) as run:
                yield f"127.0.0.1:{port}", load_test.Sluiced.pid_of(run)

    def test_forwards_every_scenario(self):
        with self.sluiced() as (proxy, pid):
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

    def test_registers_with_passwords_and_not_without(self):
        with self.sluiced() as (proxy, _):
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
