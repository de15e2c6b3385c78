#!/usr/bin/env python3
"""xdp_test.py BUILD [CASE...]: media past the sockets, in namespaces over veth.

Goal: a confirmed call is forwarded by the kernel's program, in XDP or at the tc
hook, between all families and by one device or two, and nobody can tell by the
packets, the order or the numbers; what is not the party's reaches nobody; where
the program cannot be had or is taken away the sockets go on.
Method: a real sluiced between real sockets; sluiceload judges order and loss."""

import json
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import namespaces  # noqa: E402
from nathelper import Key, Media, NatHelper  # noqa: E402
from namespaces import links_of, run  # noqa: E402
from waiting import PATIENCE_S, wait_for  # noqa: E402
from xdp_world import Daemon, Namespaces  # noqa: E402

BUILD = pathlib.Path()
MODES = ("native", "tc")
CALLS, SWITCHES = 200, 10


def rtp(sequence: int, ssrc: int, first: int = 0x80) -> bytes:
    return struct.pack(">BBHII", first, 0, sequence & 0xffff,
                       sequence * 160 & 0xffffffff, ssrc) + b"\x55" * 160


class Call:
    """A call of two sockets, set up over the RPC."""
    count = 0

    def __init__(self, spaces: Namespaces, daemon: Daemon, six=(False, False)):
        Call.count += 1
        self.spaces, self.daemon = spaces, daemon
        ips = [spaces.caller_ip6 if six[0] else spaces.caller_ip,
               spaces.callee_ip6 if six[1] else spaces.callee_ip]
        self.party = [spaces.udp(spaces.far, ip) for ip in ips]
        self.helper = NatHelper(daemon.unix)
        self.id = f"call-{Call.count}"
        self.key = Key(self.id, 1, "a", "b")
        self.allocate(six)
        self.sequence = [0, 0]

    def allocate(self, six):
        own = [(self.spaces.relay_ips6 if six[s] else self.spaces.relay_ips)
               [0 if s == 0 else -1] for s in (0, 1)]
        at = [p.getsockname() for p in self.party]
        offered = self.helper.allocate(self.key, 0, own[1],
                                       [Media(at[0][0], at[0][1])])
        answered = self.helper.allocate(self.key, 1, own[0],
                                        [Media(at[1][0], at[1][1])])
        assert offered and answered, "no ports"
        # Where each party sends to.
        self.relay = [answered[0][:2], offered[0][:2]]
        assert self.helper.activate(self.key) == 1

    def say(self, side: int) -> bytes:
        """One packet from that side, and it arrives as it is."""
        packet = rtp(self.sequence[side], side + 1)
        self.sequence[side] += 1
        self.party[side].sendto(packet, self.relay[side])
        got, source = self.party[1 - side].recvfrom(2000)
        assert got == packet, "another packet"
        assert source[:2] == self.relay[1 - side], f"from {source}"
        return packet

    def view(self) -> dict:
        """The two sides of the RTP flow as the operator sees them."""
        call = self.daemon.ask("call", self.id)
        return call["sessions"][0]["flows"][0]["sides"]

    def leave_sockets(self):
        """Talks until both directions go past the sockets."""
        before = self.daemon.fast_path()["offload_in_force"]

        def both():
            for side in (0, 1):
                self.say(side)
            return self.daemon.fast_path()["offload_in_force"] >= before + 2
        wait_for(both, "the flow to leave the sockets")

    def close(self):
        self.helper.close(self.key._replace(cseq=None))
        for party in self.party:
            party.close()


class Forwarding(unittest.TestCase):
    def test_every_crossing_by_one_device_and_by_two(self):
        for mode in MODES:
            for devices in (2, 1):
                with self.subTest(mode=mode, devices=devices), \
                     Namespaces(devices) as spaces, \
                     Daemon(BUILD, spaces, mode) as daemon:
                    for interface in daemon.ask("status")["interfaces"]:
                        self.assertEqual(interface["path"], mode, interface)
                    for six in ((False, False), (True, True), (False, True),
                                (True, False)):
                        self.one_call(spaces, daemon, six)

    def one_call(self, spaces, daemon, six):
        call = Call(spaces, daemon, six)
        call.leave_sockets()
        sent = daemon.fast_path()["verdict_send_redirect"]
        for _ in range(20):
            call.say(0)
            call.say(1)
        # Redirected, each of them, and counted as ever.
        self.assertEqual(
            daemon.fast_path()["verdict_send_redirect"] - sent, 40)
        view = call.view()
        for side, name in enumerate(("from", "to")):
            with self.subTest(six=six, side=name):
                heard = view[name]
                self.assertEqual(heard["packets_in"], call.sequence[side])
                self.assertEqual(heard["packets_out"], call.sequence[1 - side])
                self.assertEqual(heard["bytes_in"], 172 * call.sequence[side])
                quality = heard["quality"]
                self.assertEqual(quality["received"], call.sequence[side])
                self.assertEqual(quality["lost"], 0)
                self.assertEqual(quality["ssrc"], side + 1)
                self.assertEqual(quality["ssrc_changes"], 0)
        call.close()
        wait_for(lambda: daemon.ask("status")["calls"] == 0, "the call to end")
        self.assertEqual(daemon.fast_path()["offload_in_force"], 0)

    def test_a_missing_packet_is_lost_in_the_numbers_wherever_it_was_missed(self):
        with Namespaces() as spaces, Daemon(BUILD, spaces, "native") as daemon:
            call = Call(spaces, daemon)
            call.say(0), call.say(1)
            call.sequence[0] += 1
            call.leave_sockets()
            call.sequence[0] += 2
            call.say(0)
            run_offload(daemon, "off")
            call.say(0)
            call.sequence[0] += 3
            call.say(0)
            view = call.view()["from"]
            self.assertEqual(view["quality"]["lost"], 6)
            self.assertEqual(view["packets_in"], call.sequence[0] - 6)

    def test_hold_and_a_moved_party(self):
        with Namespaces() as spaces, Daemon(BUILD, spaces, "native") as daemon:
            call = Call(spaces, daemon)
            call.leave_sockets()
            # The callee moves to another socket: a new offer of the same call.
            call.party[1].close()
            call.party[1] = spaces.udp(spaces.far, spaces.callee_ip)
            call.key = call.key._replace(cseq=2)
            call.allocate((False, False))
            call.say(0), call.say(1)
            call.leave_sockets()


class Strangers(unittest.TestCase):
    def test_nothing_is_learnt_and_nothing_else_gets_through(self):
        for mode in MODES:
            with self.subTest(mode=mode), Namespaces() as spaces, \
                 Daemon(BUILD, spaces, mode) as daemon:
                call = Call(spaces, daemon)
                call.leave_sockets()
                count = daemon.fast_path()
                eve = spaces.udp(spaces.far, spaces.caller_ip)
                # From another port of the caller's own address, as loud as she
                # likes; and what is no RTP from the caller itself.
                for i in range(50):
                    eve.sendto(rtp(i, 66), call.relay[0])
                caller = call.party[0]
                bad = [b"", b"\x80", rtp(1, 1, first=0x40), b"\x16\xfe\xfd" * 20,
                       rtp(1, 1, first=0x8f)[:20], b"\0\1\0\0" + b"x" * 16]
                for octets in bad:
                    caller.sendto(octets, call.relay[0])
                fragments = b"\x80" + b"y" * 3000
                caller.sendto(fragments, call.relay[0])

                def seen():
                    now = daemon.fast_path()
                    return (now["verdict_pass_wrong_source"] -
                            count["verdict_pass_wrong_source"] >= 50 and
                            now["verdict_pass_not_rtp"] -
                            count["verdict_pass_not_rtp"] >= 5 and
                            now["verdict_pass_empty"] -
                            count["verdict_pass_empty"] >= 1 and
                            now["verdict_pass_fragment"] -
                            count["verdict_pass_fragment"] >= 2)
                wait_for(seen, "each of them to be counted")
                drops = wait_for(
                    lambda: (d := call.view()["from"]["drops"]).get(
                        "wrong_source", 0) >= 50 and d, "the socket's drops")
                self.assertGreaterEqual(drops["not_rtp"], 5)
                # The callee has heard none of it, and hears the caller still.
                for _ in range(5):
                    call.say(0)
                self.assertEqual(daemon.fast_path()["offload_in_force"], 2)
                eve.close()


def load(test, spaces, daemon, while_it_runs, seconds: int) -> dict:
    """What sluiceload has to say of CALLS calls during which that was done."""
    helper = NatHelper(daemon.unix)
    sessions = []
    for i in range(CALLS):
        key = Key(f"load-{i}", 1, "a", "b")
        port = 20000 + 2 * i
        offered = helper.allocate(key, 0, spaces.relay_ips[-1],
                                  [Media(spaces.caller_ip, port)])
        answered = helper.allocate(key, 1, spaces.relay_ips[0],
                                   [Media(spaces.callee_ip, port)])
        test.assertEqual(helper.activate(key), 1)
        sessions.append(
            {"caller_relay": "%s:%d" % answered[0][:2],
             "callee_relay": "%s:%d" % offered[0][:2],
             "caller_local": f"{spaces.caller_ip}:{port}",
             "callee_local": f"{spaces.callee_ip}:{port}"})
    plan = daemon.folder / "plan.json"
    plan.write_text(json.dumps({"sessions": sessions}))
    result = daemon.folder / "load.json"
    with spaces.inside(spaces.far):
        load = subprocess.Popen(
            [BUILD / "tools/sluiceload", "rtp", "--endpoints", plan,
             "--seconds", str(seconds), "--warm-up", "0.1", "--quiet",
             "--json", result], stdout=subprocess.DEVNULL)
    try:
        while_it_runs()
    finally:
        load.send_signal(2)
        load.wait(PATIENCE_S)
    return json.loads(result.read_text())["whole_run"]


def in_force(daemon, count: int):
    wait_for(lambda: daemon.fast_path()["offload_in_force"] == count,
             f"{count} directions past the sockets")


def past_sockets(daemon) -> int:
    return daemon.fast_path()["verdict_send_redirect"]


def by_sockets(daemon) -> int:
    return sum(s["packets_out"] for s in daemon.ask("stats")["shards"])


def packets_go(daemon, that_way):
    """As many more as there are directions, or no switch was under load."""
    before = that_way(daemon)
    wait_for(lambda: that_way(daemon) >= before + 2 * CALLS,
             f"{2 * CALLS} packets {that_way.__name__}")


def judge(test, result: dict):
    for fault in ("reordered", "duplicates", "too_old", "misrouted",
                  "wrong_source", "corrupted", "foreign"):
        test.assertEqual(result[fault], 0, result)
    test.assertEqual(result["sent"], result["received"], result)


class Continuity(unittest.TestCase):
    """Order, loss and doubles under load, by sluiceload."""

    def test_switching_to_and_fro_loses_doubles_and_reorders_nothing(self):
        for mode in MODES:
            with self.subTest(mode=mode), Namespaces() as spaces, \
                 Daemon(BUILD, spaces, mode) as daemon:
                def to_and_fro():
                    for _ in range(SWITCHES):
                        in_force(daemon, 2 * CALLS)
                        packets_go(daemon, past_sockets)
                        run_offload(daemon, "off")
                        in_force(daemon, 0)
                        packets_go(daemon, by_sockets)
                        run_offload(daemon, "on")
                    in_force(daemon, 2 * CALLS)
                    packets_go(daemon, past_sockets)
                result = load(self, spaces, daemon, to_and_fro, 300)
                judge(self, result)
                numbers = daemon.fast_path()
                self.assertEqual(numbers["offload_joined"],
                                 2 * CALLS * (SWITCHES + 1))
                self.assertEqual(numbers["offload_left"], 2 * CALLS * SWITCHES)

    def test_the_program_taken_off_by_force_costs_nothing(self):
        if reason := namespaces.why_not_detach():
            self.skipTest(reason)
        for mode in MODES:
            with self.subTest(mode=mode), Namespaces() as spaces, \
                 Daemon(BUILD, spaces, mode) as daemon:
                def take_off():
                    in_force(daemon, 2 * CALLS)
                    for link in links_of(daemon.process.pid):
                        namespaces.detach(link)
                    wait_for(lambda: all(
                        i["path"] == "sockets"
                        for i in daemon.ask("status")["interfaces"]),
                        "the daemon to notice")
                    in_force(daemon, 0)
                    self.assertTrue(any("was taken off" in line
                                        for line in daemon.log))
                judge(self, load(self, spaces, daemon, take_off, 300))


def delivered(spaces: Namespaces) -> int:
    """IPv4 packets that came up to the relay's kernel (RFC 4293): what a
    program forwards is none, what no socket waits for is one."""
    with spaces.inside(spaces.relay):
        text = pathlib.Path("/proc/thread-self/net/snmp").read_text()
    names, values = (line.split() for line in text.splitlines()
                     if line.startswith("Ip: "))
    return int(values[names.index("InDelivers")])


class AfterDeath(unittest.TestCase):
    """kill -9, and what goes on without the daemon."""

    def setUp(self):
        folder = tempfile.mkdtemp(prefix="sluice-bpf-")
        self.pins = pathlib.Path(folder)
        self.addCleanup(self.pins.rmdir)
        try:
            run("mount", "-t", "bpf", "bpf", folder)
        except RuntimeError as error:
            self.skipTest(f"no BPF file system can be mounted: {error}")
        self.addCleanup(run, "umount", folder)

    def daemon(self, spaces, mode="native"):
        daemon = Daemon(BUILD, spaces, mode)
        daemon.config.write_text(
            daemon.config.read_text() +
            f'[store]\nsessions = "{daemon.folder}/sessions"\n'
            f'xdp_pins = "{self.pins}/sluice"\n')
        return daemon

    def test_calls_go_on_and_are_adopted(self):
        for mode in MODES:
            with self.subTest(mode=mode), Namespaces() as spaces, \
                 self.daemon(spaces, mode) as daemon:
                def kill_and_start():
                    in_force(daemon, 2 * CALLS)
                    ports = self.ports_of(daemon)
                    daemon.kill()
                    # Nobody is there, and media goes on.
                    daemon.start()
                    in_force(daemon, 2 * CALLS)
                    numbers = daemon.fast_path()
                    self.assertEqual(numbers["offload_adopted"], 2 * CALLS)
                    self.assertEqual(numbers["offload_joined"], 0)
                    self.assertEqual(daemon.ask("status")["calls"], CALLS)
                    self.assertEqual(self.ports_of(daemon), ports)
                    # A new call gets none of theirs.
                    call = Call(spaces, daemon)
                    for ip, port in call.relay:
                        self.assertNotIn(f"{ip}:{port}", ports)
                    call.say(0), call.say(1)
                    call.close()
                    wait_for(lambda: any("adopted" in line
                                         for line in daemon.log),
                             "the end of the adoption")
                    in_force(daemon, 2 * CALLS)
                judge(self, load(self, spaces, daemon, kill_and_start, 300))
                # And they end as ever.
                helper = NatHelper(daemon.unix)
                for i in range(CALLS):
                    self.assertEqual(helper.close(
                        Key(f"load-{i}", None, "a", "b")), 1)
                wait_for(lambda: daemon.ask("status")["calls"] == 0,
                         "the calls to end")
                self.assertEqual(daemon.fast_path()["offload_in_force"], 0)
                self.assertEqual(daemon.stop(), 0)
                self.assertEqual(list(self.pins.rglob("abi*")), [])

    @staticmethod
    def ports_of(daemon) -> set:
        return {side["local"]
                for summary in daemon.ask("calls", "--limit", "1000")["calls"]
                for session in daemon.ask(
                    "call", summary["call_id"])["sessions"]
                for flow in session["flows"] for side in flow["sides"].values()}

    def test_without_its_file_nothing_is_adopted_and_nothing_stays(self):
        with Namespaces() as spaces, self.daemon(spaces) as daemon:
            call = Call(spaces, daemon)
            call.leave_sockets()
            daemon.kill()
            # The kernel forwards by itself.
            for _ in range(5):
                call.say(0), call.say(1)
            (daemon.folder / "sessions").unlink()
            daemon.start()
            self.assertEqual(daemon.ask("status")["calls"], 0)
            count = wait_for(lambda: next(
                (line for line in daemon.log if "adopted" in line), None),
                "the end of the adoption")
            self.assertIn("0 directions of flows of an earlier process adopted,"
                          " 2 ended", count)
            sent = daemon.fast_path()["verdict_send_redirect"]
            call.party[0].sendto(rtp(1000, 1), call.relay[0])
            wait_for(lambda: daemon.fast_path()["verdict_pass_no_rule"] > 0,
                     "its packet to go up")
            self.assertEqual(daemon.fast_path()["verdict_send_redirect"], sent)

    def as_nobody(self, spaces, mode="native"):
        daemon = self.daemon(spaces, mode)
        daemon.config.write_text(daemon.config.read_text() +
                                 '[process]\nuser = "nobody"\n')
        shutil.chown(daemon.folder, "nobody")
        return daemon

    @staticmethod
    def programs(spaces) -> list:
        return [link["ifname"] for link in json.loads(
                    run("ip", "-n", spaces.relay, "-j", "link", "show"))
                if "xdp" in link]

    def test_another_account_takes_its_pins_away(self):
        for mode in MODES:
            with self.subTest(mode=mode), Namespaces() as spaces, \
                 self.as_nobody(spaces, mode) as daemon:
                for _ in range(2):
                    call = Call(spaces, daemon)
                    call.leave_sockets()
                    self.assertTrue(list(self.pins.rglob("link_r0")))
                    call.close()
                    self.assertEqual(daemon.stop(), 0)
                    self.assertEqual(list(self.pins.rglob("abi*")), [])
                    self.assertEqual(self.programs(spaces), [])
                    self.assertFalse([line for line in daemon.log
                                      if "a pin stays" in line])
                    daemon.start()
                # The mount is the machine's.
                self.assertEqual(self.pins.stat().st_uid, 0)

    def test_what_another_account_cannot_remove_is_off_and_said(self):
        # As systemd mounts it, nobody but root gets there.
        self.pins.chmod(0o700)
        with Namespaces() as spaces, self.as_nobody(spaces) as daemon:
            call = Call(spaces, daemon)
            call.leave_sockets()
            self.assertEqual(self.programs(spaces), ["r0", "r1"])
            call.close()
            self.assertEqual(daemon.stop(), 0)
            # The two links and the tables.
            wait_for(lambda: len([line for line in daemon.log
                                  if "sluiced --detach" in line and
                                  str(self.pins) in line]) == 3,
                     "what stays to be said")
            self.assertEqual(self.programs(spaces), [])
            with spaces.inside(spaces.relay):
                run(str(BUILD / "tools/sluiced"), "--config",
                    str(daemon.config), "--detach")
            self.assertEqual(list(self.pins.rglob("abi*")), [])
            daemon.start()
            Call(spaces, daemon).leave_sockets()

    def test_detach_takes_everything_off(self):
        with Namespaces() as spaces, self.daemon(spaces) as daemon:
            call = Call(spaces, daemon)
            call.leave_sockets()
            daemon.kill()
            call.say(0)
            with spaces.inside(spaces.relay):
                said = run(str(BUILD / "tools/sluiced"), "--config",
                           str(daemon.config), "--detach")
            self.assertIn("r0", said)
            self.assertIn("r1", said)
            # What comes now goes up, where nobody is, and so no further.
            before = delivered(spaces)
            call.party[0].sendto(rtp(1000, 1), call.relay[0])
            wait_for(lambda: delivered(spaces) > before, "its packet to go up")
            call.party[1].settimeout(0)
            with self.assertRaises(BlockingIOError):
                call.party[1].recvfrom(2000)
            with spaces.inside(spaces.relay):
                self.assertIn("nothing of ours", run(
                    str(BUILD / "tools/sluiced"), "--config",
                    str(daemon.config), "--detach"))
            self.assertEqual([p for p in (self.pins / "sluice").rglob("*")
                              if p.is_file()], [])


class Refusals(unittest.TestCase):
    def test_without_the_rights_it_says_which_and_the_sockets_go_on(self):
        with Namespaces() as spaces:
            daemon = Daemon(BUILD, spaces, "auto")
            daemon.prefix = ["setpriv", "--bounding-set", "-all", "--inh-caps",
                             "-all", "--reset-env"]
            with daemon:
                call = Call(spaces, daemon)
                call.say(0), call.say(1)
                for interface in daemon.ask("status")["interfaces"]:
                    self.assertEqual(interface["path"], "sockets")
                    for right in ("CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"):
                        self.assertIn(right, interface["path_reason"])

    def test_it_loads_with_exactly_the_documented_capabilities(self):
        keep = "-all,+bpf,+net_admin,+perfmon"
        with Namespaces() as spaces:
            daemon = Daemon(BUILD, spaces, "native")
            daemon.prefix = ["setpriv", "--bounding-set", keep, "--inh-caps",
                             "-all"]
            with daemon:
                for interface in daemon.ask("status")["interfaces"]:
                    self.assertEqual(interface["path"], "native", interface)
                call = Call(spaces, daemon)
                call.leave_sockets()

    def test_another_account_goes_on_forwarding(self):
        with Namespaces() as spaces:
            daemon = Daemon(BUILD, spaces, "native")
            daemon.config.write_text(daemon.config.read_text() +
                                     '[process]\nuser = "nobody"\n')
            daemon.folder.chmod(0o755)
            with daemon:
                call = Call(spaces, daemon)
                call.leave_sockets()

    def test_devices_that_cannot(self):
        with Namespaces() as spaces:
            # No driver of its own that takes XDP: tc does it.
            run("ip", "-n", spaces.relay, "link", "add", "name", "br0", "type",
                "bridge")
            run("ip", "-n", spaces.relay, "addr", "add", "10.91.9.1/24", "dev",
                "br0")
            run("ip", "-n", spaces.relay, "link", "set", "br0", "up")
            spaces.relay_ips, spaces.relay_ips6 = ["10.91.9.1", "127.0.0.1"], []
            for mode, want in (("auto", "tc"), ("native", "sockets")):
                with self.subTest(mode=mode), Daemon(BUILD, spaces,
                                                     mode) as daemon:
                    bridge, loop = daemon.ask("status")["interfaces"]
                    self.assertEqual(bridge["path"], want, bridge)
                    self.assertEqual(loop["path"], "sockets")
                    self.assertIn("lo", loop["path_reason"])

    def test_off_is_said_where_there_is_no_other_path(self):
        with Namespaces() as spaces, Daemon(BUILD, spaces, "") as daemon:
            with self.assertRaisesRegex(RuntimeError, "by the sockets anyway"):
                run_offload(daemon, "off")


def run_offload(daemon: Daemon, which: str):
    run(str(BUILD / "tools/sluicectl"), "-s",
        str(daemon.folder / "control.sock"), "offload", which)


def main() -> int:
    global BUILD
    BUILD = pathlib.Path(sys.argv[1]).resolve()
    if reason := namespaces.why_not():
        print(f"skipped: {reason}")
        return 77
    names = sys.argv[2:]
    suite = (unittest.defaultTestLoader.loadTestsFromNames(
                 names, sys.modules[__name__]) if names else
             unittest.defaultTestLoader.loadTestsFromModule(
                 sys.modules[__name__]))
    done = unittest.TextTestRunner(verbosity=2).run(suite)
    bad = len(done.failures) + len(done.errors)
    skipped = len(done.skipped)
    failed = {getattr(test, "test_case", test).id()
              for test, _ in done.failures + done.errors}
    passed = done.testsRun - len(failed) - skipped
    print(f"{passed} passed, {bad} failed" +
          (f", {skipped} skipped" if skipped else ""))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
