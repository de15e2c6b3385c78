#!/usr/bin/env python3
"""daemon_test.py BUILD: the life of the sluiced process.

Goal: what DESIGN promises of the command line, start, reload and end holds for
the program as it is started by people and by systemd.
Method: each test starts the built program in a folder of its own, on loopback,
and waits for what must happen (a line, an answer, an exit); nothing is slept
for and no duration is asserted.
"""

import contextlib
import http.client
import json
import os
import pathlib
import pwd
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

import run_whole
from waiting import PATIENCE_S

BUILD = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build").resolve()
SLUICED = BUILD / "tools" / "sluiced"
DIST = pathlib.Path(__file__).resolve().parents[2] / "dist"


# ---- the NATHelper RPC, as much as a call needs ----------------------------

def _frozen(value) -> bytes:
    """Storable's network order: undef, scalars, arrays and hashes by reference."""
    if value is None:
        return b"\x05"
    if isinstance(value, (list, dict)):
        return b"\x04" + _referent(value)
    data = str(value).encode()
    return b"\x0a" + bytes([len(data)]) + data


def _referent(value) -> bytes:
    if isinstance(value, list):
        return (b"\x02" + struct.pack(">I", len(value))
                + b"".join(_frozen(item) for item in value))
    return (b"\x03" + struct.pack(">I", len(value))
            + b"".join(_frozen(item) + struct.pack(">I", len(key))
                       + key.encode() for key, item in value.items()))


def rpc(path, *request) -> bytes:
    """The octets answered; an answer of undef has no port and no text in it."""
    payload = b"\x05\x0b" + _referent(list(request))
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE_S)
        client.connect(str(path))
        client.sendall(struct.pack(">I", len(payload)) + payload)
        answer = b""
        while chunk := client.recv(65536):
            answer += chunk
    return answer


class UnixHttp(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=PATIENCE_S)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE_S)
        self.sock.connect(self.path)


# ---- a daemon --------------------------------------------------------------

def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Daemon:
    """sluiced with a configuration of its own; `extra` is put into [relay]."""

    def __init__(self, folder, extra="", more="", arguments=(), env=None,
                 tcp=None, allow=(), address="127.0.0.1"):
        self.folder = pathlib.Path(folder)
        self.rpc_path = self.folder / "nathelper.sock"
        self.control_path = self.folder / "control.sock"
        self.config_path = self.folder / "sluice.toml"
        self.http_port = free_port()
        self.more = more
        self.tcp, self.allow, self.address = tcp, list(allow), address
        self.write(extra)
        self.process = subprocess.Popen(
            [SLUICED, "--config", self.config_path, *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **(env or {})})
        self.errors = []
        self.new_error = threading.Condition()
        self.reader = threading.Thread(target=self._read_errors, daemon=True)
        self.reader.start()
        self.lines = []

    def write(self, extra):
        listen = [f"unix:{self.rpc_path}"]
        if self.tcp:
            listen.append(f"tcp:127.0.0.1:{self.tcp}")
        self.config_path.write_text(run_whole.with_xdp(f"""\
[relay]
shards = 1
ports = [20000, 20099]
{extra}
[[relay.interface]]
address = "{self.address}"
[nathelper]
listen = {json.dumps(listen)}
allow = {json.dumps(self.allow)}
[http]
listen = "127.0.0.1:{self.http_port}"
[control]
socket = "{self.control_path}"
{self.more}
"""))

    def _read_errors(self):
        for line in self.process.stderr:
            with self.new_error:
                self.errors.append(line)
                self.new_error.notify_all()

    def wait_error(self, text, count=1):
        """Waits until `count` lines of the log hold `text`; the last of them."""
        def found():
            return [line for line in self.errors if text in line]
        with self.new_error:
            if not self.new_error.wait_for(lambda: len(found()) >= count,
                                           PATIENCE_S):
                raise AssertionError(f"no '{text}' in {self.errors}")
            return found()[count - 1]

    def wait_ready(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if line == "ready\n":
                return self
        self.process.wait(PATIENCE_S)
        self.reader.join(PATIENCE_S)
        raise AssertionError(f"not ready: {self.lines} {self.errors}")

    def allocate(self, side, tag="", call="call-1", local="127.0.0.1",
                 party="127.0.0.2"):
        key = [call, 1, "from", "to" + tag, "sip:a@x", "sip:b@x"]
        media = [{"addr": party, "port": 40000 + 2 * side, "range": 2,
                  "proto": "RTP/AVP", "fmt": 0, "media": "audio"}]
        return rpc(self.rpc_path, "allocate", key, side, local, media)

    def close(self, call="call-1"):
        key = [call, 1, "from", "to", "sip:a@x", "sip:b@x"]
        return rpc(self.rpc_path, "close", key)

    def get(self, path, body=None):
        client = UnixHttp(self.control_path)
        if body is None:
            client.request("GET", path)
        else:
            client.request("POST", path, json.dumps(body))
        answer = client.getresponse()
        body = answer.read().decode()
        client.close()
        return answer.status, body

    def drain(self, on):
        return self.get("/v1/drain", {"on": on})[0]

    def calls(self):
        return json.loads(self.get("/v1/calls")[1])["total"]

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self):
        code = self.process.wait(PATIENCE_S)
        self.reader.join(PATIENCE_S)
        return code

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.reader.join(PATIENCE_S)
        self.process.stdout.close()
        self.process.stderr.close()


def run(*arguments, env=None):
    return subprocess.run([SLUICED, *arguments], capture_output=True, text=True,
                          timeout=PATIENCE_S, check=False,
                          env={**os.environ, **(env or {})})


class Test(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="sluice-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def daemon(self, **arguments):
        daemon = Daemon(self.folder, **arguments)
        self.addCleanup(daemon.kill)
        return daemon

    def file(self, text):
        path = self.folder / "t.toml"
        path.write_text(text)
        return path


class CommandLine(Test):
    def test_check_of_a_good_file_exits_0(self):
        self.assertEqual(run("--check").returncode, 0)
        good = self.file("[relay]\nshards = 1\n")
        self.assertEqual(run("--check", "--config", good).returncode, 0)

    def test_check_of_a_bad_file_exits_2_and_names_the_line(self):
        bad = self.file("[relay]\n\nshrads = 1\nports = [1025, 2001]\n")
        result = run("--check", "--config", bad)
        self.assertEqual(result.returncode, 2)
        lines = result.stderr.splitlines()
        self.assertEqual(lines[0], f'{bad}:3: unknown key "relay.shrads"; '
                                   'the nearest is "relay.shards"')
        self.assertTrue(lines[1].startswith(f"{bad}:4: relay.ports"), lines)

    def test_a_door_to_other_machines_must_say_for_whom(self):
        text = '[nathelper]\nlisten = ["tcp:0.0.0.0:8004"]\n'
        open_door = self.file(text)
        result = run("--check", "--config", open_door)
        self.assertEqual(result.returncode, 2)
        self.assertTrue(result.stderr.startswith(f"{open_door}:2: "),
                        result.stderr)
        self.assertIn("nathelper.allow", result.stderr)
        self.file(text + 'allow = ["192.0.2.0/24"]\n')
        self.assertEqual(run("--check", "--config", open_door).returncode, 0)
        printed = run("--print-config", "--config", open_door).stdout
        self.assertIn('\nallow = ["192.0.2.0/24"]\n', printed)

    def test_a_bad_file_does_not_start(self):
        bad = self.file("[relay]\nshards = -1\n")
        result = run("--config", bad)
        self.assertEqual(result.returncode, 2)
        self.assertIn(f"{bad}:2: ", result.stderr)
        self.assertNotIn("ready", result.stdout)

    def test_a_file_that_is_not_there_exits_2(self):
        result = run("--check", "--config", self.folder / "none.toml")
        self.assertEqual(result.returncode, 2)
        self.assertIn("none.toml: No such file", result.stderr)

    def test_what_is_not_an_option_exits_2(self):
        for arguments in (["--bogus"], ["--log-level", "loud"], ["stray"]):
            self.assertEqual(run(*arguments).returncode, 2, arguments)

    def test_help_and_version_exit_0(self):
        self.assertIn("--print-config", run("--help").stdout)
        self.assertRegex(run("--version").stdout, r"^sluiced \d+\.\d+")

    def test_what_is_printed_is_read_back_the_same(self):
        first = run("--print-config", "--log-level", "debug")
        self.assertEqual(first.returncode, 0)
        self.assertIn('level = "debug"', first.stdout)
        again = run("--print-config", "--config", self.file(first.stdout))
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertEqual(again.stdout, first.stdout)

    def test_the_example_is_the_printed_default(self):
        example = DIST / "sluiced.toml"
        self.assertEqual(run("--check", "--config", example).returncode, 0)
        printed = run("--print-config", "--config", example).stdout
        self.assertTrue(example.read_text().endswith(printed))

    def test_the_manual_names_every_key_with_its_default(self):
        manual = (DIST / "man" / "sluiced.conf.5").read_text()
        sections = manual.split("\n.Ss ")
        body = None
        for line in run("--print-config").stdout.splitlines():
            # The example of what there may be many of, or none.
            if not line.startswith("# "):
                line = line.removeprefix("#")
            if line.startswith("["):
                body = next(text for text in sections
                            if text.startswith(f"{line}\n"))
            elif line and not line.startswith("#"):
                # Where sockets lie depends on who runs this.
                if "/sluice" in line:
                    line = line.split(" = ", maxsplit=1)[0]
                item = line.replace('"', "\\(dq")
                self.assertIn(f"\n.It Ic {item}", body)


class Start(Test):
    def test_says_ready_when_every_listener_is_bound(self):
        daemon = self.daemon().wait_ready()
        self.assertIn(f"nathelper  unix:{daemon.rpc_path}", daemon.lines)
        self.assertIn(f"http       http://127.0.0.1:{daemon.http_port}/",
                      daemon.lines)
        self.assertIn(f"control    unix:{daemon.control_path}", daemon.lines)
        self.assertEqual(daemon.get("/readyz")[0], 200)
        with socket.create_connection(("127.0.0.1", daemon.http_port)):
            pass
        self.assertIn("why=", daemon.wait_error("engine chosen"))

    def test_sockets_are_for_their_owner_alone(self):
        daemon = self.daemon().wait_ready()
        for path in (daemon.rpc_path, daemon.control_path):
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)

    def test_an_engine_can_be_named(self):
        daemon = self.daemon(extra='engine = "epoll"').wait_ready()
        status = json.loads(daemon.get("/v1/status")[1])
        self.assertEqual(status["engine"], "epoll")

    def test_a_second_instance_exits_1_with_the_reason(self):
        first = self.daemon().wait_ready()
        second = run("--config", first.config_path)
        self.assertEqual(second.returncode, 1)
        self.assertIn(str(first.rpc_path), second.stderr)
        self.assertNotIn("ready", second.stdout)
        # The first one is none the worse for it.
        self.assertEqual(first.get("/readyz")[0], 200)
        self.assertTrue(first.allocate(0))

    def test_a_stale_socket_is_replaced(self):
        daemon = self.daemon().wait_ready()
        daemon.kill()
        self.assertTrue(daemon.rpc_path.is_socket())
        self.daemon().wait_ready()

    def test_a_file_in_the_sockets_place_is_left_alone(self):
        place = self.folder / "nathelper.sock"
        place.write_text("precious")
        daemon = self.daemon()
        self.assertEqual(daemon.wait(), 1)
        self.assertEqual(place.read_text(), "precious")

    def test_a_port_in_use_exits_1(self):
        port = self.daemon().wait_ready().http_port
        file = self.file(f'[relay]\nshards = 1\n'
                         f'[nathelper]\nlisten = []\n'
                         f'[http]\nlisten = "127.0.0.1:{port}"\n'
                         f'[control]\nsocket = ""\n')
        result = run("--config", file)
        self.assertEqual(result.returncode, 1)
        self.assertIn(str(port), result.stderr)

    def test_a_runtime_folder_open_to_others_is_refused(self):
        if os.geteuid() == 0:
            self.skipTest("root has /run/sluice")
        folder = self.folder / "sluice"
        folder.mkdir()
        folder.chmod(0o777)
        result = run(env={"XDG_RUNTIME_DIR": str(self.folder)})
        self.assertEqual(result.returncode, 1)
        self.assertIn("others may write there", result.stderr)

    def test_by_tcp_only_those_allowed_are_served(self):
        payload = b"\x05\x0b" + _referent(["close", []])

        def served(source):
            with socket.create_connection(
                    ("127.0.0.1", daemon.tcp), timeout=PATIENCE_S,
                    source_address=(source, 0)) as client:
                with contextlib.suppress(ConnectionError):
                    client.sendall(struct.pack(">I", len(payload)) + payload)
                    return bool(client.recv(100))
                return False

        def refused():
            return [line for line in daemon.get("/metrics")[1].splitlines()
                    if line.startswith("sluice_rpc_connections_peers_refused")]

        daemon = self.daemon(tcp=free_port(), allow=["127.0.0.8/31"])
        daemon.wait_ready()
        self.assertEqual(refused(),
                         ["sluice_rpc_connections_peers_refused_total 0"])
        self.assertTrue(served("127.0.0.9"))
        self.assertFalse(served("127.0.0.10"))
        line = daemon.wait_error("nathelper connection refused")
        self.assertIn("from=127.0.0.10:", line)
        self.assertIn("nathelper.allow", line)
        self.assertEqual(refused(),
                         ["sluice_rpc_connections_peers_refused_total 1"])
        self.assertTrue(daemon.allocate(0))  # the UNIX socket is as it was
        daemon.allow = ["127.0.0.10"]
        daemon.write("")
        daemon.signal(signal.SIGHUP)
        daemon.wait_error("reloaded")
        self.assertFalse(served("127.0.0.9"))
        self.assertTrue(served("127.0.0.10"))

    def test_an_address_that_is_away_refuses_calls_and_nothing_else(self):
        daemon = self.daemon(address="192.0.2.77").wait_ready()
        self.assertEqual(daemon.get("/readyz")[0], 200)
        daemon.allocate(0, local="192.0.2.77", party="192.0.2.78")
        line = daemon.wait_error("nathelper request refused")
        self.assertIn("192.0.2.77", line)
        self.assertIn("Cannot assign requested address", line)
        self.assertEqual(daemon.calls(), 0)

    def test_an_unsafe_latch_is_warned_of(self):
        daemon = self.daemon(extra='latch = "first-packet"').wait_ready()
        daemon.wait_error("first-packet is unsafe")

    def test_ports_the_kernel_gives_to_others_are_warned_of(self):
        low, high = map(int, pathlib.Path(
            "/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
        reserved = pathlib.Path(
            "/proc/sys/net/ipv4/ip_local_reserved_ports").read_text().strip()
        if reserved or high - low < 200:
            self.skipTest("ports are set aside on this machine")
        first = low + low % 2
        path = self.file(f"""\
[relay]
shards = 1
ports = [{first}, {first + 99}]
[nathelper]
listen = ["unix:{self.folder}/n.sock"]
[http]
listen = ""
[control]
socket = ""
""")
        with subprocess.Popen([SLUICED, "--config", path], text=True,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as process:
            for line in process.stdout:
                if line == "ready\n":
                    break
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=PATIENCE_S)
        self.assertIn("ip_local_port_range", errors)


class Stop(Test):
    def test_without_calls_it_ends_at_once_with_0(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            daemon = self.daemon(extra="drain_timeout_s = 86400").wait_ready()
            daemon.signal(number)
            self.assertEqual(daemon.wait(), 0)
            self.assertFalse(daemon.rpc_path.exists())
            self.assertFalse(daemon.control_path.exists())

    def test_with_a_call_it_refuses_new_ones_and_ends_with_the_last(self):
        daemon = self.daemon(extra="drain_timeout_s = 86400").wait_ready()
        daemon.allocate(0)
        self.assertEqual(daemon.calls(), 1)
        daemon.signal(signal.SIGTERM)
        daemon.wait_error("stopping")
        self.assertEqual(daemon.get("/readyz")[0], 503)
        daemon.allocate(0, call="call-2")
        self.assertEqual(daemon.calls(), 1)
        self.assertEqual(daemon.drain(False), 503)
        self.assertIsNone(daemon.process.poll())
        daemon.close()
        self.assertEqual(daemon.wait(), 0)

    def test_a_call_that_stays_is_cut_after_drain_timeout(self):
        daemon = self.daemon(extra="drain_timeout_s = 1").wait_ready()
        daemon.allocate(0)
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(), 0)
        self.assertIn("calls=1", daemon.wait_error("stopped with calls"))

    def test_a_second_signal_cuts_at_once(self):
        daemon = self.daemon(extra="drain_timeout_s = 86400").wait_ready()
        daemon.allocate(0)
        daemon.signal(signal.SIGTERM)
        daemon.wait_error("stopping")
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(), 0)

    def test_a_drain_can_be_taken_back(self):
        daemon = self.daemon().wait_ready()
        self.assertEqual(daemon.drain(True), 200)
        self.assertEqual(daemon.get("/readyz")[0], 503)
        daemon.allocate(0)
        self.assertEqual(daemon.calls(), 0)
        self.assertEqual(daemon.drain(False), 200)
        self.assertEqual(daemon.get("/readyz")[0], 200)
        daemon.allocate(0)
        self.assertEqual(daemon.calls(), 1)


class UnknownCalls(Test):
    def test_are_told_of_when_somebody_closes_them(self):
        daemon = self.daemon().wait_ready()
        daemon.close(call="nope")
        line = daemon.wait_error("nathelper close of an unknown call")
        self.assertIn(" info ", line)
        self.assertIn("call_id=nope", line)
        client = UnixHttp(daemon.control_path)
        client.request("DELETE", "/v1/calls/gone")
        self.assertEqual(client.getresponse().status, 404)
        client.close()
        line = daemon.wait_error("close by operator of an unknown call")
        self.assertIn(" info ", line)
        self.assertIn("call_id=gone", line)


class Reload(Test):
    def test_a_good_file_is_applied_to_the_running_daemon(self):
        daemon = self.daemon(extra="max_sessions = 1").wait_ready()
        daemon.allocate(0)
        daemon.allocate(0, call="call-2")
        self.assertEqual(daemon.calls(), 1)
        daemon.write("max_sessions = 2\nbatch_wait_us = 100")
        daemon.signal(signal.SIGHUP)
        daemon.wait_error("reloaded")
        self.assertIn("key=relay.max_sessions before=1 after=2",
                      daemon.wait_error("setting changed"))
        self.assertIn("key=relay.batch_wait_us before=0 after=100",
                      daemon.wait_error("setting waits for a restart"))
        # The call that was up still is, and one more fits.
        daemon.allocate(0, call="call-2")
        self.assertEqual(daemon.calls(), 2)

    def test_a_bad_file_changes_nothing_and_says_where(self):
        daemon = self.daemon(extra="max_sessions = 1").wait_ready()
        daemon.write("max_sessions = 2\nlatch = 5")
        daemon.signal(signal.SIGHUP)
        line = daemon.wait_error("reload refused")
        self.assertIn(f"{daemon.config_path}:5: relay.latch", line)
        daemon.allocate(0)
        daemon.allocate(0, call="call-2")
        self.assertEqual(daemon.calls(), 1)

    def test_targets_are_denied_after_a_reload(self):
        daemon = self.daemon().wait_ready()
        daemon.write('deny_targets = ["127.0.0.0/8"]')
        daemon.signal(signal.SIGHUP)
        daemon.wait_error("reloaded")
        daemon.allocate(0)
        self.assertEqual(daemon.calls(), 0)

    def test_the_command_line_outweighs_the_file_then_too(self):
        daemon = self.daemon(arguments=["--log-level", "debug"]).wait_ready()
        daemon.signal(signal.SIGHUP)
        daemon.wait_error("reloaded")
        self.assertFalse([line for line in daemon.errors if "setting" in line])

    def test_without_a_file_there_is_nothing_to_read(self):
        daemon = self.daemon().wait_ready()
        daemon.config_path.unlink()
        daemon.signal(signal.SIGHUP)
        self.assertIn("No such file", daemon.wait_error("reload refused"))


class ServiceManager(Test):
    def notify(self, address):
        with run_whole.beside_sluiced():
            server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(server.close)
        server.settimeout(PATIENCE_S)
        server.bind(address)
        return server

    def receive(self, server):
        lines = server.recv(4096).decode().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def test_is_told_of_start_reload_and_end(self):
        server = self.notify(str(self.folder / "notify"))
        daemon = self.daemon(
            env={"NOTIFY_SOCKET": str(self.folder / "notify")}).wait_ready()
        ready = self.receive(server)
        self.assertEqual(ready["READY"], "1")
        self.assertEqual(ready["MAINPID"], str(daemon.process.pid))
        daemon.signal(signal.SIGHUP)
        reloading = self.receive(server)
        self.assertEqual(reloading["RELOADING"], "1")
        self.assertGreater(int(reloading["MONOTONIC_USEC"]), 0)
        self.assertEqual(self.receive(server)["READY"], "1")
        daemon.signal(signal.SIGTERM)
        self.assertEqual(self.receive(server)["STOPPING"], "1")
        self.assertEqual(daemon.wait(), 0)

    def test_may_listen_on_an_abstract_address(self):
        name = f"sluice-test-{os.getpid()}"
        server = self.notify("\0" + name)
        self.daemon(env={"NOTIFY_SOCKET": "@" + name}).wait_ready()
        self.assertEqual(self.receive(server)["READY"], "1")

    def test_that_does_not_listen_does_no_harm(self):
        for address in (str(self.folder / "nobody"), "relative", "/" * 300, "@"):
            daemon = self.daemon(env={"NOTIFY_SOCKET": address}).wait_ready()
            daemon.signal(signal.SIGTERM)
            self.assertEqual(daemon.wait(), 0)


def _status(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines()
                if ":\t" in line)


class Privileges(Test):
    def test_no_new_ones_can_be_had(self):
        daemon = self.daemon().wait_ready()
        self.assertEqual(_status(daemon.process.pid)["NoNewPrivs"], "1")

    @unittest.skipUnless(os.geteuid() == 0, "only root can become another")
    def test_are_dropped_for_good_by_every_thread(self):
        nobody = pwd.getpwnam("nobody")
        self.folder.chmod(0o755)
        daemon = self.daemon(more='[process]\nuser = "nobody"\n').wait_ready()
        # CAP_NET_ADMIN and CAP_BPF: with XDP, the control thread has them still.
        for_xdp = 1 << 12 | 1 << 39
        tasks = list(pathlib.Path(f"/proc/{daemon.process.pid}/task").iterdir())
        self.assertGreater(len(tasks), 1)
        for task in tasks:
            status = _status(f"{daemon.process.pid}/task/{task.name}")
            kept = for_xdp if run_whole.XDP_VARIABLE in os.environ and \
                task.name == str(daemon.process.pid) else 0
            self.assertEqual(set(status["Uid"].split()), {str(nobody.pw_uid)})
            self.assertEqual(set(status["Gid"].split()), {str(nobody.pw_gid)})
            self.assertEqual(status["Groups"].split(), [str(nobody.pw_gid)])
            self.assertEqual(int(status["CapEff"], 16), kept)
            self.assertEqual(int(status["CapPrm"], 16), kept)
        for path in (daemon.rpc_path, daemon.control_path):
            self.assertEqual(path.stat().st_uid, nobody.pw_uid)
        # And it still does its work.
        daemon.allocate(0)
        self.assertEqual(daemon.calls(), 1)
        daemon.close()
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(), 0)
        self.assertEqual(daemon.rpc_path.parent.stat().st_uid, 0)

    def test_an_account_that_is_not_there_exits_2(self):
        for user, reason in (("no-such-user", "there is no such account"),
                             ("root", "is root itself")):
            bad = self.file(f'[process]\nuser = "{user}"\n')
            for arguments in ([], ["--check"]):
                result = run("--config", bad, *arguments)
                self.assertEqual(result.returncode, 2)
                self.assertEqual(result.stderr, f'{bad}:2: process.user '
                                 f'"{user}": {reason}\n')


def main() -> int:
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules[__name__])
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    failed = len(result.failures) + len(result.errors)
    skipped = len(result.skipped)
    passed = result.testsRun - failed - skipped
    for test, reason in result.skipped:
        print(f"skipped: {test}: {reason}")
    print(f"{passed} passed, {failed} failed"
          + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
