#!/usr/bin/env python3
"""tools/setup and its list, without installing anything."""

import os
import pathlib
import re
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]


# What would change the machine, replaced: each notes how it was called.
FAKES = {
    "id": "echo $FAKE_UID",
    "sudo": "exit 1",  # nobody is there to ask for a password
    "apt-get": 'echo "apt-get $*, policy: $(cat $SLUICE_POLICY_RC)" >>$CALLS',
    "systemctl": 'echo "systemctl $*" >>$CALLS',
}


def setup(*arguments, packages, uid=0, policy=None,
          fakes=FAKES):
    """The finished process, and the calls it made."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "list").write_text(packages)
        (folder / "calls").touch()
        if policy is not None:
            (folder / "policy").write_text(policy)
        for fake, body in fakes.items():
            (folder / fake).write_text(f"#!/bin/sh\n{body}\n")
            (folder / fake).chmod(0o755)
        run = subprocess.run(
            [ROOT / "tools/setup", *arguments], text=True, capture_output=True,
            stdin=subprocess.DEVNULL, env=os.environ | {
                "PATH": f"{folder}:{os.environ['PATH']}",
                "SLUICE_PACKAGES": str(folder / "list"),
                "SLUICE_POLICY_RC": str(folder / "policy"),
                "CALLS": str(folder / "calls"), "FAKE_UID": str(uid)})
        run.calls = (folder / "calls").read_text()
        run.policy = (folder / "policy").read_text() \
            if (folder / "policy").exists() else None
        return run


LIST = """\
# a comment
build       dpkg                  is here
build       sluice-no-such-one    is not

test-peers  sluice-no-such-two    is not
dev         sluice-no-such-three  is not
"""


class SetupTest(unittest.TestCase):
    def test_check_names_what_is_missing(self):
        for group, missing in [("build", ["one"]), ("test", ["one", "two"]),
                               ("dev", ["one", "two", "three"])]:
            run = setup("--check", "--for", group, packages=LIST)
            self.assertEqual(1, run.returncode)
            self.assertEqual([f"sluice-no-such-{m}" for m in missing],
                             run.stdout.split())

    def test_check_is_content_when_nothing_is_missing(self):
        run = setup("--check", packages="build dpkg always there\n")
        self.assertEqual((0, ""), (run.returncode, run.stdout))

    def test_updates_once_and_installs_what_is_missing(self):
        run = setup("--for", "build", packages=LIST)
        self.assertEqual(0, run.returncode, run.stderr)
        update, install = re.findall("^apt-get .*? (update|install.*?),",
                                     run.calls, re.MULTILINE)
        self.assertEqual("update", update)
        self.assertEqual("install --no-install-recommends sluice-no-such-one",
                         install)

    def test_does_not_ask_apt_when_nothing_is_missing(self):
        run = setup(packages="build dpkg always there\n")
        self.assertEqual((0, ""), (run.returncode, run.calls))

    def test_no_daemon_starts_while_it_installs(self):
        run = setup(packages=LIST)
        self.assertEqual(2, run.calls.count("policy: #!/bin/sh\nexit 101"))
        self.assertIsNone(run.policy)  # and it is gone again

    def test_a_policy_that_was_there_stays(self):
        run = setup(packages=LIST, policy="mine")
        self.assertEqual(2, run.calls.count("policy: mine"))
        self.assertEqual("mine", run.policy)

    def test_the_relay_to_compare_with_is_not_left_enabled(self):
        run = setup(packages="dev rtpengine-daemon to compare with\n",
                    fakes=FAKES | {"dpkg-query": "exit 1"})
        self.assertIn("systemctl disable rtpengine-daemon", run.calls)

    def test_says_what_to_run_when_it_may_not(self):
        run = setup("--for", "build", packages=LIST, uid=1000)
        self.assertEqual((1, ""), (run.returncode, run.calls))
        self.assertIn("apt-get install --no-install-recommends "
                      "sluice-no-such-one", run.stderr)

    def test_refuses_what_it_does_not_know(self):
        for arguments in (["--for", "fun"], ["--for"], ["--chekc"]):
            run = setup(*arguments, packages=LIST)
            self.assertEqual(2, run.returncode, arguments)
            self.assertNotEqual("", run.stderr)

    def test_every_line_of_the_list_is_group_package_why(self):
        lines = (ROOT / "tools/packages.txt").read_text().splitlines()
        lines = [line for line in lines if line and not line.startswith("#")]
        for line in lines:
            self.assertRegex(line, r"^(build|test-peers|dev) +[a-z0-9.+-]+ +\w")
        packages = [re.split(" +", line)[1] for line in lines]
        self.assertEqual(len(packages), len(set(packages)))


if __name__ == "__main__":
    unittest.main()
