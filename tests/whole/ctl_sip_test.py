#!/usr/bin/env python3
"""ctl_sip_test.py BUILD: what sluicectl, /metrics and the HTTP API show of the
SIP side of a running sluiced.

Method: a daemon with two legs on loopback, a phone of a dozen lines that
registers and asks, once with octets that no terminal may get."""

import json
import socket
import sys
import tempfile
import unittest
import urllib.error
import urllib.request

from ctl_test import (DONE, NOT_FOUND, PATIENCE_S, REFUSED, USAGE, Daemon,
                      free_port, run)


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Phone:
    """Sends one request at a time by UDP; no answer is one too few."""

    def __init__(self, port):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.sock.settimeout(PATIENCE_S)
        self.port = self.sock.getsockname()[1]
        self.leg = ("127.0.0.1", port)
        self.cseq = 0

    def ask(self, method, uri, user, call_id, more=b""):
        self.cseq += 1
        head = (f"{method} {uri} SIP/2.0\r\n"
                f"Via: SIP/2.0/UDP 127.0.0.1:{self.port};"
                f"branch=z9hG4bK{self.cseq}\r\n"
                "Max-Forwards: 70\r\n"
                f"From: <sip:{user}@example.com>;tag=1\r\n"
                f"To: <sip:{user}@example.com>\r\n"
                f"Call-ID: {call_id}\r\n"
                f"CSeq: {self.cseq} {method}\r\n").encode()
        self.sock.sendto(head + more + b"Content-Length: 0\r\n\r\n", self.leg)
        return int(self.sock.recv(65536).split()[1])

    def register(self, user, q="0.5"):
        code = self.ask("REGISTER", "sip:example.com", user, f"reg-{user}",
                        f"Contact: <sip:{user}@127.0.0.1:{self.port}>;"
                        f"q={q};expires=200\r\n".encode())
        assert code == 200, code

    def close(self):
        self.sock.close()


class SipTest(unittest.TestCase):
    def setUp(self):
        folder = self.enterContext(tempfile.TemporaryDirectory(prefix="sluice-"))
        # A port that is free for UDP is not always free for TCP.
        self.inside, self.tcp = free_udp_port(), free_port()
        self.outside = free_udp_port()
        self.daemon = Daemon(folder, f"""
[sip]
domains = ["example.com"]
trace_messages = 16
[[sip.leg]]
name = "inside"
trusted = true
listen = ["udp:127.0.0.1:{self.inside}", "tcp:127.0.0.1:{self.tcp}"]
[[sip.leg]]
name = "outside"
listen = ["udp:127.0.0.1:{self.outside}"]
chain = ["proxy"]
""")
        self.addCleanup(self.daemon.stop)
        self.phone = Phone(self.inside)
        self.addCleanup(self.phone.close)

    def ctl(self, *arguments, code=DONE):
        got, out, err = run("-s", self.daemon.control, *arguments)
        self.assertEqual(got, code, (arguments, out, err))
        self.assertEqual(bool(err), code != DONE, (arguments, err))
        return out if code == DONE else err

    def json(self, *arguments):
        return json.loads(self.ctl("-o", "json", *arguments))

    def get(self, path):
        url = f"http://127.0.0.1:{self.daemon.http_port}{path}"
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            return answer.read().decode()

    def test_status_names_the_sip_listeners(self):
        self.assertEqual(
            [one["address"] for one in self.json("status")["listeners"]
             if one["kind"] == "sip"],
            [f"inside udp:127.0.0.1:{self.inside}",
             f"inside tcp:127.0.0.1:{self.tcp}",
             f"outside udp:127.0.0.1:{self.outside}"])
        self.assertIn(f"sip        outside udp:127.0.0.1:{self.outside}\n",
                      self.ctl("status"))

    def test_legs_shows_listeners_chains_and_counters(self):
        self.phone.ask("OPTIONS", f"sip:127.0.0.1:{self.inside}", "a", "o")
        inside, outside = self.json("legs")["legs"]
        self.assertEqual(inside["name"], "inside")
        self.assertEqual(inside["listeners"],
                         [f"udp:127.0.0.1:{self.inside}",
                          f"tcp:127.0.0.1:{self.tcp}"])
        self.assertEqual(inside["chain"], ["registrar", "proxy"])
        self.assertEqual(outside["chain"], ["proxy"])
        self.assertEqual(inside["counters"]["datagrams_in"], 1)
        self.assertEqual(outside["counters"]["datagrams_in"], 0)
        text = self.ctl("legs")
        self.assertRegex(text, r"(?m)^LEG +LISTENERS +CHAIN +CONNECTIONS$")
        self.assertRegex(text, r"(?m)^COUNTER +inside +outside$")
        self.assertRegex(text, r"(?m)^datagrams_in +1 +0$")

    def test_registrations_are_found_by_either_writing(self):
        self.assertEqual(self.ctl("registrations"), "no registrations\n")
        self.phone.register("bob")
        self.phone.register("alice")
        self.assertEqual(self.ctl("registrations", "-q"),
                         "sip:alice@example.com\nsip:bob@example.com\n")
        self.assertEqual(self.json("registrations", "-q", "--offset", "1"),
                         ["sip:bob@example.com"])
        self.assertTrue(self.ctl("registrations", "--limit", "1")
                        .endswith("1 of 2 registrations\n"))
        for aor in ("alice@example.com", "sip:alice@example.com",
                    "sip:alice@EXAMPLE.com"):
            page = self.json("registrations", aor)
            self.assertEqual(page["total"], 1)
            (one,) = page["registrations"]
            self.assertEqual(one["aor"], "sip:alice@example.com")
            self.assertEqual(one["contact"],
                             f"sip:alice@127.0.0.1:{self.phone.port}")
            self.assertEqual(one["q"], 0.5)
            self.assertEqual(one["leg"], "inside")
            self.assertTrue(0 < one["expires_in_s"] <= 200)
        self.assertRegex(self.ctl("registrations", "alice@example.com"),
                         r"(?m)^sip:alice@example.com +sip:alice@127\.0\.0\.1:"
                         r"\d+ +0\.5 +in \d+ s +inside ")

    def test_who_is_not_registered_is_not_found(self):
        self.phone.register("bob")
        for output in ([], ["-o", "json"]):
            self.assertEqual(
                self.ctl(*output, "registrations", "eve@example.com",
                         code=NOT_FOUND),
                "sluicectl: nobody is registered as eve@example.com\n")
        self.assertIn("no address-of-record",
                      self.ctl("registrations", "\x1b[2J", code=REFUSED))
        self.assertEqual(run("registrations", "--limit", "x")[0], USAGE)

    def test_trace_shows_a_call_to_the_octet(self):
        self.phone.ask("OPTIONS", f"sip:127.0.0.1:{self.inside}", "a", "evil",
                       b"X: \x1b]0;gotcha\x07\x9b2J\xc2\x9b\t\xff\r\n")
        self.phone.register("bob")
        trace = self.json("trace", "evil")
        self.assertEqual([m["direction"] for m in trace["messages"]],
                         ["in", "out"])
        first = trace["messages"][0]
        self.assertEqual(first["leg"], "inside")
        self.assertEqual(first["peer"], f"udp 127.0.0.1:{self.phone.port}")
        self.assertTrue(first["text"].startswith("OPTIONS sip:"))
        # run() has looked for raw octets.
        lines = self.ctl("trace", "evil").splitlines()
        self.assertIn(f"<- inside  from udp 127.0.0.1:{self.phone.port}  "
                      "+0.000000 s", lines)
        self.assertIn("    X: \\x1b]0;gotcha\\x07\\x9b2J\\xc2\\x9b\\x09\\xff",
                      lines)
        self.assertTrue(any(line.startswith("-> inside  to udp ")
                            for line in lines))
        self.assertNotIn("REGISTER", "".join(lines))
        self.assertEqual(self.ctl("trace", "none", code=NOT_FOUND),
                         "sluicectl: no message of this call is kept\n")

    def test_trace_forgets_what_is_old(self):
        for n in range(9):  # two messages each
            self.phone.ask("OPTIONS", f"sip:127.0.0.1:{self.inside}", "a",
                           f"call-{n}")
        self.ctl("trace", "call-0", code=NOT_FOUND)
        self.assertEqual(len(self.json("trace", "call-8")["messages"]), 2)

    def test_metrics_count_by_method_and_by_leg(self):
        self.phone.register("bob")
        text = self.get("/metrics")
        for series in ('sluice_sip_requests_total{method="REGISTER"} 1',
                       'sluice_sip_requests_in_total 1',
                       'sluice_sip_replies_sent_total{class="2xx"} 1',
                       'sluice_sip_transport_datagrams_in_total{leg="inside"} 1',
                       'sluice_sip_transport_datagrams_in_total{leg="outside"} 0',
                       'sluice_sip_drops_total{reason="forged"} 0'):
            self.assertIn(f"\n{series}\n", text)
        names = [line.split()[2] for line in text.splitlines()
                 if line.startswith("# TYPE ")]
        self.assertEqual(len(names), len(set(names)))
        self.assertNotIn("bob", text)


class SipOffTest(unittest.TestCase):
    def test_says_that_sip_is_off(self):
        with tempfile.TemporaryDirectory(prefix="sluice-") as folder:
            daemon = Daemon(folder)
            self.addCleanup(daemon.stop)
            for verb in (["legs"], ["registrations"], ["trace", "x"]):
                code, out, err = run("-s", daemon.control, *verb)
                self.assertEqual((code, out), (NOT_FOUND, ""), verb)
                self.assertIn("SIP is off", err)
            url = f"http://127.0.0.1:{daemon.http_port}/v1/legs"
            with self.assertRaises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(url, timeout=PATIENCE_S)
            self.assertEqual(caught.exception.code, 404)
            self.assertIn("SIP is off",
                          json.load(caught.exception)["error"])
            caught.exception.close()


def main() -> int:
    suite = unittest.defaultTestLoader.loadTestsFromModule(
        sys.modules["__main__"])
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    failed = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
