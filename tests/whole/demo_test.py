#!/usr/bin/env python3
"""demo_test.py BUILD [CASE...]: what `tools/run demo` shows.

Goal: it does what it says, ends with 0 only then, and leaves nothing behind,
also when it is interrupted.
Method: it is run without a terminal, or on one, with the programs of BUILD or
with one of them replaced."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import sip_phones  # noqa: E402
import terminal  # noqa: E402
from sip_phones import PATIENCE_S, Program  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


class DemoTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(
            tempfile.TemporaryDirectory(prefix="sluice-demo-test-")))

    def command(self, *words, build=None) -> list:
        return [ROOT / "tools/run", "demo", "--build",
                build or sip_phones.Case.build, *words]

    def run_demo(self, *words, build=None) -> subprocess.CompletedProcess:
        # Its temporary folder is to be found here, or rather gone.
        return subprocess.run(
            list(map(str, self.command(*words, build=build))),
            capture_output=True, stdin=subprocess.DEVNULL, text=True,
            timeout=2 * PATIENCE_S, env={**os.environ,
                                         "TMPDIR": str(self.folder)})

    def nothing_is_left(self) -> None:
        self.assertEqual(list(self.folder.glob("sluice-demo-*")), [])
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "cmdline").read_bytes().decode(
                    errors="replace")
            except OSError:
                continue  # it has just ended
            self.assertNotIn(f"{self.folder}/sluice-demo-", words)

    def test_shows_a_call_through_the_relay(self):
        done = self.run_demo("--seconds", "2")
        self.assertEqual(done.returncode, 0, done)
        for user, hz in ("alice", 1000), ("bob", 440):
            heard = re.search(rf"{user} heard \w+: (\d+) of (\d+) packets, "
                              r"(\d+) lost, .* a tone of (\d+) Hz", done.stdout)
            self.assertIsNotNone(heard, done)
            self.assertGreater(int(heard[1]), 50)
            self.assertAlmostEqual(int(heard[4]), hz, delta=20)
        self.assertIn("the relay:", done.stdout)
        self.assertIn("ports of the relay are back: 0 taken", done.stdout)
        self.assertEqual(done.stdout.splitlines()[-1], "demo: all well")
        self.nothing_is_left()

    def test_shows_the_relay_at_work_on_a_terminal(self):
        demo = terminal.Terminal(self.command("--seconds", "3"),
                                 env={**os.environ,
                                      "TMPDIR": str(self.folder)})
        self.addCleanup(demo.close)
        self.assertEqual(demo.ended(), 0, demo.text())
        before, *pictures = demo.text().split(terminal.CLEARED)
        self.assertIn("talks to bob", before)
        self.assertEqual(len(pictures), 2, demo.text())
        for picture in pictures:
            self.assertRegex(picture, r"^sluiced .*, up .* s, \d calls?, ")
        # The call of both; a machine that is slow may draw the last one late.
        lines = pictures[0].splitlines()
        self.assertRegex(lines[0], ", 1 call, 1 session$")
        head, row = (line.split() for line in lines[5:7])
        self.assertEqual((head[0], head[-1]), ("CALL-ID", "PACKETS"))
        self.assertRegex(row[0], "^[0-9a-f]{32}$")
        self.assertGreater(int(row[-1]), 0)
        self.assertEqual(terminal.shown(demo.text())[-2], "demo: all well")
        self.nothing_is_left()

    def build_with(self, name: str, script: str) -> pathlib.Path:
        """A build whose program of that name is another."""
        tools = self.folder / "build/tools"
        tools.mkdir(parents=True)
        for program in "sluiced", "sluicectl", "sluicephone":
            (tools / program).symlink_to(
                sip_phones.Case.build / "tools" / program)
        (tools / name).unlink()
        (tools / name).write_text(script)
        (tools / name).chmod(0o755)
        return tools.parent

    def test_fails_when_a_phone_does(self):
        real = sip_phones.Case.build / "tools/sluicephone"
        # The one that calls has another tone than it is told.
        build = self.build_with("sluicephone", f"""#!/bin/bash
[ "$1" = call ] && exec {real} "${{@/440/600}}"
exec {real} "$@"
""")
        done = self.run_demo("--seconds", "1", build=build)
        self.assertEqual(done.returncode, 1, done)
        self.assertIn("bob did not hear alice's 440 Hz", done.stdout)
        self.nothing_is_left()

    def test_fails_when_the_relay_does_not_start(self):
        build = self.build_with("sluiced", "#!/bin/sh\necho no; exit 1\n")
        done = self.run_demo("--seconds", "1", build=build)
        self.assertEqual(done.returncode, 1, done)
        self.assertIn("sluiced ended with 1", done.stdout)
        self.nothing_is_left()

    def test_fails_when_ports_stay_taken(self):
        real = sip_phones.Case.build / "tools/sluicectl"
        status = {"interfaces": [{"ports": {"taken": 4}}]}
        build = self.build_with("sluicectl", f"""#!/bin/sh
for word; do :; done
[ "$word" = status ] && exec echo '{json.dumps(status)}'
exec {real} "$@"
""")
        done = self.run_demo("--seconds", "1", build=build)
        self.assertEqual(done.returncode, 1, done)
        self.assertIn("in vain for all ports to come back", done.stdout)
        self.nothing_is_left()

    def test_ends_everything_when_interrupted(self):
        # The folder of the demo, by the environment of this process.
        old = os.environ.get("TMPDIR")
        os.environ["TMPDIR"] = str(self.folder)
        try:
            demo = Program(self.command("--seconds", "60"), self.folder,
                           signal.SIGTERM)
        finally:
            if old is None:
                del os.environ["TMPDIR"]
            else:
                os.environ["TMPDIR"] = old
        self.addCleanup(demo.close)
        demo.expect("the relay:")
        demo.process.send_signal(signal.SIGINT)
        self.assertEqual(demo.ended(), 130, demo.text())
        self.nothing_is_left()

    def test_says_how_it_is_used(self):
        self.assertIn("--seconds", self.run_demo("--help").stdout)
        self.assertEqual(self.run_demo("--seconds", "x").returncode, 2)


if __name__ == "__main__":
    sip_phones.main(__doc__)
