#!/usr/bin/env python3
"""install_test.py BUILD: what `meson install` puts where.

Goal: an installation is complete, its parts name each other where they are, and
nothing of an operator's is replaced.
Method: the build folder is installed into a folder of the test's own, without
building anything, and looked at.
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

BUILD = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build").resolve()
PATIENCE_S = 120
PROGRAMS = ("sluiced", "sluicectl", "sluiceload", "sluicephone")


def options() -> dict:
    text = subprocess.run(
        ["meson", "introspect", "--buildoptions", BUILD], check=True,
        capture_output=True, text=True, timeout=PATIENCE_S).stdout
    return {entry["name"]: entry["value"] for entry in json.loads(text)}


class InstallTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="sluice-install-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.install()
        chosen = options()
        cls.prefix = pathlib.Path(chosen["prefix"])
        cls.of = {name: cls.prefix / chosen[name]
                  for name in ("bindir", "datadir", "mandir", "sysconfdir")}

    @classmethod
    def install(cls):
        subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild",
                        "--quiet", "--destdir", cls.folder.name],
                       check=True, stdin=subprocess.DEVNULL,
                       timeout=PATIENCE_S)

    def installed(self, path) -> pathlib.Path:
        return pathlib.Path(self.folder.name) / path.relative_to("/")

    def test_the_programs_run_from_there(self):
        for name in PROGRAMS:
            program = self.installed(self.of["bindir"] / name)
            said = subprocess.run([program, "--version"], capture_output=True,
                                  text=True, timeout=PATIENCE_S)
            self.assertEqual(said.returncode, 0, said.stderr)
            self.assertRegex(said.stdout, rf"^{name} \d")

    def test_each_program_has_its_manual_and_its_completion(self):
        for page in ("man1/sluicectl.1", "man1/sluiceload.1",
                     "man1/sluicephone.1", "man8/sluiced.8",
                     "man5/sluiced.conf.5"):
            text = self.installed(self.of["mandir"] / page).read_text()
            self.assertRegex(text, r"(?m)^\.(?:TH|Dt) ", page)
        completions = self.of["datadir"] / "bash-completion" / "completions"
        for name in PROGRAMS:
            text = self.installed(completions / name).read_text()
            self.assertIn(f"complete -F _{name} {name}\n", text)

    def test_the_unit_starts_what_is_installed(self):
        unit = self.installed(
            self.prefix / "lib/systemd/system/sluiced.service").read_text()
        self.assertNotRegex(unit, r"@\w+@")
        commands = re.findall(r"(?m)^ExecStart(?:Pre)?=(\S+) --config (\S+)",
                              unit)
        self.assertEqual(
            commands, [(str(self.of["bindir"] / "sluiced"),
                        str(self.of["sysconfdir"] / "sluice/sluiced.toml"))] * 2)

    def test_the_example_is_good_and_no_configuration_is_touched(self):
        example = self.installed(self.of["datadir"] / "doc/sluice/sluiced.toml")
        sluiced = self.installed(self.of["bindir"] / "sluiced")
        subprocess.run([sluiced, "--check", "--config", example], check=True,
                       stdout=subprocess.DEVNULL, timeout=PATIENCE_S)
        own = self.installed(self.of["sysconfdir"] / "sluice/sluiced.toml")
        own.parent.mkdir(parents=True)
        own.write_text("# mine\n")
        self.install()
        self.assertEqual(own.read_text(), "# mine\n")


def main() -> int:
    suite = unittest.defaultTestLoader.loadTestsFromModule(
        sys.modules["__main__"])
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    failed = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
