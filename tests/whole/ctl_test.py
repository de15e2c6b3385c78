#!/usr/bin/env python3
"""ctl_test.py BUILD: sluicectl against a running sluiced.

Goal: what sluicectl(1) promises of every verb, in text and JSON, and of every
exit code.
Method: a daemon on loopback with calls made over the NATHelper RPC and a few
packets through them; for what a daemon does not do (never answer, lie), a
server of a dozen lines.
"""

import contextlib
import json
import os
import pathlib
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.error
import urllib.request

import run_whole
import terminal
from nathelper import Key, Media, NatHelper
from waiting import PATIENCE_S

BUILD = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build").resolve()
SLUICED = BUILD / "tools" / "sluiced"
SLUICECTL = BUILD / "tools" / "sluicectl"
# 127.0.0.1 is sluiced's alone (run_whole.py --veth).
PARTIES = "127.0.0.2"
DONE, REFUSED, USAGE, UNREACHABLE, NOT_FOUND, TIMEOUT = range(6)
# Octets no terminal may get from a peer.
UNSAFE = re.compile(rb"[\x00-\x09\x0b-\x1f\x7f]")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(*arguments, env=None):
    """(exit code, stdout, stderr) of sluicectl."""
    done = subprocess.run([SLUICECTL, *arguments], capture_output=True,
                          timeout=PATIENCE_S, env=env)
    for output in done.stdout, done.stderr:
        assert not UNSAFE.search(output), (arguments, output)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def party(address=PARTIES) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, 0))
    sock.settimeout(PATIENCE_S)
    return sock


def rtp(sequence: int) -> bytes:
    return struct.pack(">BBHII", 0x80, 0, sequence, sequence * 160,
                       0x5101CE) + b"\xd5" * 160


class Daemon:
    def __init__(self, folder, settings=""):
        self.folder = pathlib.Path(folder)
        self.control = str(self.folder / "control.sock")
        self.helper = NatHelper(str(self.folder / "nathelper.sock"))
        self.http_port = free_port()
        self.config = self.folder / "sluice.toml"
        self.write(settings)
        self.process = subprocess.Popen(
            [SLUICED, "--config", self.config], stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True)
        for line in self.process.stdout:
            if line == "ready\n":
                return
        raise AssertionError("sluiced ended before it was ready")

    def write(self, relay):
        self.config.write_text(run_whole.with_xdp(f"""\
[relay]
shards = 2
ports = [20200, 20399]
drain_timeout_s = 0
{relay}
[[relay.interface]]
name = "default"
address = "127.0.0.1"
[nathelper]
listen = ["unix:{self.folder}/nathelper.sock"]
[http]
listen = "127.0.0.1:{self.http_port}"
[control]
socket = "{self.control}"
"""))

    def stop(self):
        self.process.terminate()
        self.process.wait(PATIENCE_S)
        self.process.stdout.close()


class Call:
    """A running call: two parties and the ports they were told."""

    def __init__(self, daemon, call_id, hold=False):
        self.helper = daemon.helper
        self.key = Key(call_id, 1, b"user\0a\0l1", b"bob\xff")
        self.alice, self.bob = party(), party()
        offer = Media(PARTIES, self.alice.getsockname()[1])
        answer = Media("0.0.0.0" if hold else PARTIES,
                       self.bob.getsockname()[1])
        # What an SDP gets is announced to the other party.
        (self.to_bob,) = self.helper.allocate(self.key, 0, "127.0.0.1", [offer])
        (self.to_alice,) = self.helper.allocate(self.key, 1, "127.0.0.1",
                                                [answer])
        assert self.helper.activate(self.key) == 1

    def say(self, count, sock=None):
        """Alice (or a stranger) sends to where Alice was told to."""
        for n in range(count):
            (sock or self.alice).sendto(rtp(n + 1), self.to_alice[:2])

    def close(self):
        return self.helper.close(self.key._replace(cseq=None))


class CtlTest(unittest.TestCase):
    def setUp(self):
        folder = self.enterContext(tempfile.TemporaryDirectory(prefix="sluice-"))
        self.daemon = Daemon(folder)
        self.addCleanup(self.daemon.stop)

    def ctl(self, *arguments, code=DONE):
        got, out, err = run("-s", self.daemon.control, *arguments)
        self.assertEqual(got, code, (arguments, out, err))
        self.assertEqual(bool(err), code != DONE, (arguments, err))
        return out if code == DONE else err

    def json(self, *arguments):
        return json.loads(self.ctl("-o", "json", *arguments))

    def wait_for(self, condition, *arguments):
        """Asks again until the answer is as it must become."""
        while True:
            answer = self.json(*arguments)
            if condition(answer):
                return answer

    # ---- each verb ---------------------------------------------------------

    def test_status_says_what_runs_and_how_full_it_is(self):
        Call(self.daemon, "c1")
        text = self.ctl("status")
        for part in (f"pid {self.daemon.process.pid}", "taking calls",
                     "nathelper  unix:", "http ", "control ", "default",
                     "sdp-first"):
            self.assertIn(part, text)
        self.assertRegex(text, r"ports +4 taken, \d+ resting, 196 free")
        status = self.json("status")
        self.assertEqual(status["calls"], 1)
        self.assertEqual(status["sessions"], 1)
        self.assertEqual(status["sockets"], 4)
        self.assertEqual(status["ports"]["taken"], 4)
        self.assertEqual(status["pid"], self.daemon.process.pid)
        self.assertTrue(status["ready"])
        self.assertEqual(status["manager"]["activate_new"], 1)
        self.assertEqual(len(status["listeners"]), 3)

    def test_status_says_how_full_each_shard_is(self):
        self.assertEqual(self.json("calls", "-q"), [])
        for n in range(3):  # each goes to the emptier shard
            Call(self.daemon, f"c{n}")
        status = self.wait_for(
            lambda s: sum(shard["sockets"] for shard in s["shards"]) == 12,
            "status")
        self.assertEqual([shard["sockets"] for shard in status["shards"]],
                         [8, 4])
        for number, shard in enumerate(status["shards"]):
            self.assertEqual(shard["shard"], number)
            self.assertEqual(shard["engine"], status["engine"])
            self.assertAlmostEqual(shard["load"],
                                   shard["sockets"] / shard["sockets_max"])
        text = self.ctl("status")
        self.assertRegex(text, r"(?m)^SHARD +ENGINE +SOCKETS +OF +LOAD$")
        self.assertRegex(text, rf"(?m)^0 +{status['engine']} +8 +[\d ]+ \d+\.\d %$")
        self.assertRegex(text, rf"(?m)^1 +{status['engine']} +4 +[\d ]+ \d+\.\d %$")

    def test_the_http_root_lists_what_there_is(self):
        url = f"http://127.0.0.1:{self.daemon.http_port}/"
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            self.assertEqual(answer.headers.get_content_type(), "text/plain")
            self.assertIn("/v1/status", answer.read().decode())

    def test_calls_lists_them_in_pages_and_by_id(self):
        self.assertEqual(self.ctl("calls"), "no calls\n")
        for n in range(5):
            Call(self.daemon, f"call-{n}")
        lines = self.ctl("calls").splitlines()
        self.assertEqual([line.split()[0] for line in lines],
                         ["CALL-ID"] + [f"call-{n}" for n in range(5)])
        self.assertEqual(self.ctl("calls", "-q", "--offset", "3"),
                         "call-3\ncall-4\n")
        self.assertEqual(self.json("calls", "-q", "--offset", "3"),
                         ["call-3", "call-4"])
        part = self.ctl("calls", "--limit", "2")
        self.assertTrue(part.endswith("2 of 5 calls\n"), part)
        answer = self.json("calls", "--limit", "2", "--offset", "1")
        self.assertEqual(answer["total"], 5)
        self.assertEqual([c["call_id"] for c in answer["calls"]],
                         ["call-1", "call-2"])

    def test_call_shows_both_sides_of_each_flow(self):
        call = Call(self.daemon, "talk")
        call.say(10)
        for _ in range(10):
            call.bob.recv(2048)

        def heard(answer):
            sides = answer["sessions"][0]["flows"][0]["sides"]
            return sides["from"]["packets_in"] == 10 and (
                sides["to"]["packets_out"] == 10)

        answer = self.wait_for(heard, "call", "talk")
        session = answer["sessions"][0]
        self.assertEqual(session["id_from"], "user\\x00a\\x00l1")
        self.assertEqual([f["kind"] for f in session["flows"]], ["rtp", "rtcp"])
        alice = session["flows"][0]["sides"]["from"]
        where = "%s:%d" % call.alice.getsockname()
        self.assertEqual(alice["local"], "%s:%d" % call.to_alice[:2])
        self.assertEqual(alice["target"], where)
        self.assertEqual(alice["latched"], where)
        self.assertEqual(alice["latched_by"], "sdp")
        self.assertEqual(alice["bytes_in"], 1720)
        self.assertEqual(alice["quality"]["lost"], 0)
        self.assertIsNone(alice["hint"])
        bob = session["flows"][0]["sides"]["to"]
        self.assertEqual(bob["hint"], "nothing ever arrived from this party "
                         "on %s:%d" % call.to_bob[:2])
        text = self.ctl("call", "talk")
        for part in (where, "%s:%d" % call.to_alice[:2], "1.7 kB", "sdp",
                     "0 rtp to: no audio? nothing ever arrived"):
            self.assertIn(part, text)

    def test_call_says_that_packets_come_from_elsewhere(self):
        call = Call(self.daemon, "bleed")
        stranger = party("127.0.0.9")
        call.say(12, stranger)

        def dropped(answer):
            side = answer["sessions"][0]["flows"][0]["sides"]["from"]
            return side["drops"].get("wrong_source") == 12

        answer = self.wait_for(dropped, "call", "bleed")
        side = answer["sessions"][0]["flows"][0]["sides"]["from"]
        self.assertIn("packets arrive from elsewhere: 12 dropped wrong_source",
                      side["hint"])
        text = self.ctl("call", "bleed")
        self.assertIn("0 rtp from: dropped wrong_source 12\n", text)
        self.assertIn("0 rtp from: no audio? packets arrive from elsewhere",
                      text)

    def test_call_says_that_a_party_is_on_hold(self):
        Call(self.daemon, "held", hold=True)
        text = self.ctl("call", "held")
        self.assertIn("0 rtp to: no audio? on hold: no target\n", text)
        side = self.json("call", "held")["sessions"][0]["flows"][0]["sides"]
        self.assertIsNone(side["to"]["target"])

    def test_hostile_call_ids_are_shown_safely_and_found_again(self):
        ids = [b"\x1b]0;gotcha\x07", b"nul\0nul", b"\xff\xfe/../%00?x#y",
               b"two\nlines", b"back\\slash", "caf\u00e9".encode(), b" "]
        for call_id in ids:
            Call(self.daemon, call_id)
        shown = self.ctl("calls", "-q").splitlines()
        self.assertEqual(len(shown), len(ids))
        listed = [c["call_id"] for c in self.json("calls")["calls"]]
        self.assertEqual(shown, listed)
        for call_id in shown:
            self.assertEqual(self.json("call", "--", call_id)["call_id"],
                             call_id)
            self.assertIn("closed", self.ctl("close", "--", call_id))
        self.assertEqual(self.ctl("calls"), "no calls\n")

    def test_close_ends_a_call_and_says_so_once(self):
        call = Call(self.daemon, "gone")
        self.assertEqual(self.json("close", "gone"), {"closed": 1})
        self.assertEqual(self.json("calls")["total"], 0)
        self.assertIsNone(call.close())
        self.assertIn("no such call",
                      self.ctl("close", "gone", code=NOT_FOUND))
        self.assertIn("no such call", self.ctl("call", "gone", code=NOT_FOUND))
        Call(self.daemon, "text")
        self.assertEqual(self.ctl("close", "text"), "closed, 1 session ended\n")

    def test_stats_has_a_line_for_each_counter(self):
        text = self.ctl("stats")
        self.assertEqual(text.split()[:6],
                         ["COUNTER", "SHARD", "0", "SHARD", "1", "ALL"])
        source = (pathlib.Path(__file__).resolve().parents[2] / "relay" /
                  "counters.def").read_text()
        for kind, name in re.findall(r"^(COUNTER|DROP)\((\w+)", source, re.M):
            row = name if kind == "COUNTER" else f"drop {name}"
            self.assertRegex(text, rf"(?m)^{row} ")
        call = Call(self.daemon, "counted")
        call.say(7)
        answer = self.wait_for(
            lambda a: sum(s["packets_in"] for s in a["shards"]) == 7, "stats")
        self.assertEqual(len(answer["shards"]), 2)

    def test_stats_watch_gives_rates(self):
        text = self.ctl("stats", "--watch", "--count", "2", "--interval", "0.1")
        self.assertEqual(text.count("A SECOND"), 2)
        self.assertNotIn("\x1b", text)
        lines = self.ctl("-o", "json", "stats", "--watch", "--count", "3",
                         "--interval", "0.1").splitlines()
        times = [json.loads(line)["time_s"] for line in lines]
        self.assertEqual(len(times), 3)
        self.assertEqual(times, sorted(times))

    def test_top_puts_the_busiest_call_first(self):
        Call(self.daemon, "quiet")
        busy = Call(self.daemon, "busy")
        stop = threading.Event()

        def talk():
            while not stop.wait(0.005):
                busy.say(1)

        speaker = threading.Thread(target=talk)
        speaker.start()
        try:
            answer = self.json("top", "--count", "1", "--interval", "0.5")
            self.assertEqual(answer["busiest"][0]["call_id"], "busy")
            self.assertGreater(answer["busiest"][0]["packets_per_s"], 0)
            self.assertGreater(sum(s["packets_in_per_s"]
                                   for s in answer["shards"]), 0)
            text = self.ctl("top", "--count", "2", "--interval", "0.5")
        finally:
            stop.set()
            speaker.join()
        self.assertEqual(text.count("PACKETS IN/S"), 2)
        self.assertLess(text.index("busy"), text.index("quiet"))
        self.assertNotIn("\x1b", text)

    def test_top_redraws_a_terminal(self):
        top = terminal.Terminal([SLUICECTL, "-s", self.daemon.control, "top",
                                 "--count", "2", "--interval", "0.1"])
        self.addCleanup(top.close)
        self.assertEqual(top.ended(), DONE, top.text())
        self.assertEqual(top.text().count(terminal.CLEARED), 2)

    def test_drain_refuses_calls_until_it_is_taken_back(self):
        self.assertIn("draining", self.ctl("drain"))
        self.assertIn("draining: no new calls", self.ctl("status"))
        key = Key("refused", 1, "a", "b")
        media = [Media(PARTIES, 4000)]
        self.assertIsNone(self.daemon.helper.allocate(key, 0, "127.0.0.1",
                                                      media))
        url = f"http://127.0.0.1:{self.daemon.http_port}/readyz"
        with self.assertRaises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(url, timeout=PATIENCE_S)
        self.assertEqual(caught.exception.code, 503)
        caught.exception.close()
        self.assertEqual(self.json("drain", "--off"), {"draining": False})
        self.assertIsNotNone(self.daemon.helper.allocate(key, 0, "127.0.0.1",
                                                         media))
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            self.assertEqual(answer.read(), b"ready\n")

    def test_drain_wait_ends_with_the_last_call(self):
        call = Call(self.daemon, "last")
        with subprocess.Popen(
                [SLUICECTL, "-s", self.daemon.control, "drain", "--wait"],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                text=True) as waiting:
            self.assertEqual(waiting.stderr.readline(), "1 call left\n")
            self.assertIsNone(waiting.poll())
            self.assertEqual(call.close(), 1)
            out, err = waiting.communicate(timeout=PATIENCE_S)
        self.assertEqual(waiting.returncode, DONE)
        self.assertIn("drained", out)
        self.assertEqual(err, "0 calls left\n")

    def test_drain_wait_gives_up_at_its_deadline(self):
        Call(self.daemon, "endless")
        code, _, err = run("-s", self.daemon.control, "drain", "--wait",
                           "--deadline", "0.2")
        self.assertEqual(code, TIMEOUT)
        self.assertIn("1 call left", err)

    def test_reload_says_what_changed_or_what_is_wrong(self):
        self.daemon.write("active_timeout_s = 31")
        self.assertIn("active_timeout_s", self.ctl("reload"))
        self.daemon.write("no_such_key = 1")
        error = self.ctl("reload", code=REFUSED)
        self.assertIn("sluice.toml:", error)
        self.assertIn("no_such_key", error)
        self.assertIn("taking calls", self.ctl("status"))

    def test_version_names_both_programs(self):
        answer = self.json("version")
        self.assertEqual(answer["sluicectl"], answer["sluiced"])
        self.assertIn("sluiced " + answer["sluiced"], self.ctl("version"))

    # ---- the ways to the daemon --------------------------------------------

    def test_the_http_address_takes_the_same_verbs(self):
        port = self.daemon.http_port
        Call(self.daemon, "c 1")
        for server in (f"http://127.0.0.1:{port}", f"127.0.0.1:{port}",
                       f"http://localhost:{port}/",
                       "unix:" + self.daemon.control):
            code, out, err = run("-s", server, "-o", "json", "call", "c 1")
            self.assertEqual((code, err), (DONE, ""), server)
            self.assertEqual(json.loads(out)["call_id"], "c 1")

    def test_options_may_stand_behind_the_verb(self):
        code, out, _ = run("status", "-o", "json", "-s", self.daemon.control)
        self.assertEqual(code, DONE)
        self.assertTrue(json.loads(out)["ready"])

    @unittest.skipIf(os.path.exists("/run/sluice/control.sock"),
                     "a daemon of this machine comes first")
    def test_the_default_socket_is_found_in_the_runtime_folder(self):
        home = self.daemon.folder / "sluice"
        home.mkdir()
        os.symlink(self.daemon.control, home / "control.sock")
        env = {**os.environ, "XDG_RUNTIME_DIR": str(self.daemon.folder)}
        code, out, err = run("status", env=env)
        self.assertEqual(code, DONE, err)
        self.assertIn(f"pid {self.daemon.process.pid}", out)

    def test_metrics_count_the_calls(self):
        Call(self.daemon, "metered")
        url = f"http://127.0.0.1:{self.daemon.http_port}/metrics"
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            text = answer.read().decode()
        self.assertIn("\nsluice_calls 1\n", text)
        self.assertIn("\nsluice_sessions 1\n", text)
        self.assertIn('sluice_ports{interface="default",state="taken"} 4\n',
                      text)
        self.assertIn("\nsluice_manager_activate_new_total 1\n", text)
        self.assertNotIn("metered", text)


@contextlib.contextmanager
def lying_server(answer):
    """A UNIX socket that answers every request with `answer`; None: never."""
    with tempfile.TemporaryDirectory(prefix="sluice-") as folder:
        path = folder + "/control.sock"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            held = []

            def serve():
                with contextlib.suppress(OSError):
                    while True:
                        client, _ = listener.accept()
                        held.append(client)
                        if answer is None:
                            continue
                        client.recv(65536)
                        client.sendall(answer)
                        client.shutdown(socket.SHUT_WR)

            server = threading.Thread(target=serve)
            server.start()
            try:
                yield path
            finally:
                listener.shutdown(socket.SHUT_RDWR)
                server.join()
                for client in held:
                    client.close()


def http(status, body):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return (b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
            % (status, len(body)) + body)


VERBS = (["status"], ["calls"], ["call", "x"], ["close", "x"], ["legs"],
         ["registrations"], ["registrations", "-q"], ["trace", "x"], ["stats"],
         ["top", "--count", "1", "--interval", "0.1"], ["drain"],
         ["drain", "--off"], ["reload"], ["version"],
         ["stats", "--watch", "--count", "1", "--interval", "0.1"])


class ExitCodeTest(unittest.TestCase):
    def test_2_for_what_is_no_usage(self):
        for arguments in ([], ["no-such-verb"], ["call"], ["close"],
                          ["trace"], ["call", ""], ["trace", ""],
                          ["legs", "x"], ["registrations", "a", "b"],
                          ["registrations", "--limit", "-1"], ["--no-such-option", "status"],
                          ["-o", "xml", "status"], ["-s", "word", "status"],
                          ["-s", "", "status"], ["-s", "https://x", "status"],
                          ["-s", "http://x:99999", "status"],
                          ["-s", "http://:80", "status"], ["status", "extra"],
                          ["drain", "--off", "--wait"],
                          ["drain", "--deadline", "1"],
                          ["top", "--interval", "0"], ["top", "--count", "x"],
                          ["calls", "--limit", "-1"], ["calls", "--offset", "-1"],
                          ["top", "--count", "-1"], ["--timeout", "0",
                                                       "status"]):
            code, out, err = run(*arguments)
            self.assertEqual(code, USAGE, arguments)
            self.assertEqual(out, "", arguments)
            self.assertTrue(err, arguments)

    def test_2_in_plain_words(self):
        for arguments, words in (
                (["stauts"], 'there is no verb "stauts"; the nearest is '
                             '"status"'),
                (["-s", "/x", "-o", "json", "cals", "-q"],
                 'there is no verb "cals"; the nearest is "calls"'),
                (["\x1b[2Jreload"], 'there is no verb "\\x1b[2Jreload"; the '
                                    'nearest is "reload"'),
                ([], "name a verb: status, calls, call, close, legs, "
                     "registrations, trace, stats, top, drain, offload, "
                     "capture, reload, version")):
            code, _, err = run(*arguments)
            self.assertEqual((code, err), (USAGE, f"sluicectl: {words}\n"))
        for option in (["--interval", "1"], ["--count", "1"]):
            code, _, err = run("stats", *option)
            self.assertEqual(code, USAGE)
            self.assertIn(f"{option[0]} requires --watch", err)

    def test_0_for_help(self):
        for arguments in (["--help"], ["call", "--help"], ["--version"]):
            code, out, err = run(*arguments)
            self.assertEqual((code, err), (DONE, ""), arguments)
            self.assertTrue(out)

    def test_3_when_nobody_is_there(self):
        with tempfile.TemporaryDirectory() as folder:
            plain = pathlib.Path(folder) / "file"
            plain.touch()
            stale = folder + "/stale.sock"
            with socket.socket(socket.AF_UNIX) as gone:
                gone.bind(stale)
            for server, why in ((folder + "/none.sock", "no such socket"),
                                (str(plain), "is no socket"),
                                (stale, "nobody answers"),
                                ("/" + "x" * 200, "no such socket"),
                                (f"http://127.0.0.1:{free_port()}",
                                 "nobody answers")):
                for verb in VERBS:
                    code, out, err = run("-s", server, *verb)
                    self.assertEqual(code, UNREACHABLE, (server, verb, err))
                    self.assertIn("cannot reach sluiced at", err)
                    self.assertIn(why, err)

    def test_5_when_the_server_does_not_answer(self):
        with lying_server(None) as path:
            for verb in VERBS:
                code, _, err = run("-s", path, "--timeout", "0.1", *verb)
                self.assertEqual(code, TIMEOUT, (verb, err))
                self.assertIn("did not answer in time", err)
        with lying_server(http(504, {"error": "control thread stuck"})) as path:
            code, _, err = run("-s", path, "status")
            self.assertEqual(code, TIMEOUT)
            self.assertEqual(err, "sluicectl: control thread stuck\n")

    def test_1_when_the_server_says_no(self):
        for status in (400, 403, 405, 409, 500, 503):
            with lying_server(http(status, {"error": "no"})) as path:
                for verb in VERBS:
                    code, _, err = run("-s", path, *verb)
                    self.assertEqual(code, REFUSED, (status, verb, err))
                    self.assertEqual(err, "sluicectl: no\n")
                code, out, _ = run("-s", path, "-o", "json", "status")
                self.assertEqual(json.loads(out), {"error": "no"})

    def test_1_for_what_is_no_answer_of_sluiced(self):
        for body in (b"", b"<html>", b"[]", b"1", b"\xff\xfe", b"[" * 100000):
            with lying_server(http(200, body)) as path:
                code, _, err = run("-s", path, "status")
                self.assertEqual(code, REFUSED, body[:20])
                self.assertIn("not an answer of sluiced", err)

    def test_3_for_what_is_no_http(self):
        for octets in (b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"\0" * 1000):
            with lying_server(octets) as path:
                code, _, err = run("-s", path, "status")
                self.assertEqual(code, UNREACHABLE, err)

    def test_status_says_what_goes_past_the_sockets(self):
        def status(path="native", **numbers):
            answer = {"version": "1", "interfaces": [
                {"name": "in", "xdp": "auto", "path": path,
                 "path_reason": "why so"}], "fast_path": {
                     f"offload_{name}": n for name, n in numbers.items()}}
            with lying_server(http(200, answer)) as socket_path:
                code, out, err = run("-s", socket_path, "status")
                self.assertEqual(code, DONE, err)
                return out

        moving = {"in_force": 1234, "joining": 2, "waiting": 3}
        kept = {"no_way": 1, "no_device": 0, "no_room": 5, "no_rule": 0}
        text = status(on=1, **moving, **kept)
        self.assertIn("\nin: media by native: why so\n", text)
        self.assertIn("\npast the sockets: 1 234 directions in force, 2 joining,"
                      " 3 waiting\n", text)
        self.assertRegex(text, r"(?m)no next hop was known: 1 time$")
        self.assertRegex(text, r"(?m)a table of the program was full: 5 times$")
        self.assertEqual(text.count("kept on the sockets"), 2)
        text = status(on=0, **moving, **kept)
        self.assertIn("\nin: media by sockets, native is switched off: why so\n",
                      text)
        self.assertIn("\npast the sockets: switched off by the operator\n", text)
        self.assertNotIn("in force", text)
        self.assertIn("\nin: media by sockets: why so\n",
                      status(path="sockets", on=0, **moving))
        self.assertNotIn("past the sockets", status(path="sockets"))

    # run() looks at every octet that comes out.
    def test_a_lying_server_cannot_harm_the_terminal(self):
        evil = "\x1b]0;x\x07\x9b2J\u202e"
        one = {"call_id": evil, "name": evil, "packets": evil, "age_s": -1,
               "shard": {}, "flows": 7, "bytes": 1e300, "drops": {evil: 1e300},
               "fast_path": {"offload_on": 1e300, "offload_in_force": evil,
                             "offload_no_way": evil, "offload_no_rule": -1},
               "sides": {"from": {"drops": {evil: 3}, "hint": evil,
                                  "local": evil, "target": [], "quality": []}}}
        many = {**one, "flows": [one, 5, None, evil]}
        lies = {**one, "version": evil, "error": evil, "reloaded": evil,
                "uptime_s": 1e300, "total": 2, "calls": [one, many, 3, evil],
                "sessions": [one, many, None], "shards": [one, many, {}, 9],
                "interfaces": [one, 1], "listeners": evil, "closed": evil,
                "legs": [{**one, "chain": [evil, 1], "counters": {evil: 1}}],
                "registrations": [{"aor": evil, "contact": evil, "path": evil,
                                   "q": evil, "expires_in_s": 1e300}, 1],
                "messages": [{"text": evil + "\n" + evil, "leg": evil,
                              "direction": evil, "after_s": evil}, 1]}
        for status in (200, 400):
            with lying_server(http(status, lies)) as path:
                for verb in VERBS:
                    for output in "text", "json":
                        code, _, _ = run("-s", path, "-o", output, *verb)
                        self.assertEqual(code, DONE if status == 200
                                         else REFUSED, verb)


def main() -> int:
    suite = unittest.defaultTestLoader.loadTestsFromModule(
        sys.modules["__main__"])
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    failed = len(result.failures) + len(result.errors)
    passed = result.testsRun - failed - len(result.skipped)
    skipped = f", {len(result.skipped)} skipped" if result.skipped else ""
    print(f"{passed} passed, {failed} failed{skipped}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
