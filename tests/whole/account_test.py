#!/usr/bin/env python3
"""account_test.py BUILD: the files of a daemon that becomes another account.

Goal: what was made or opened by root is of use after process.user took root's
rights away, for the whole life of the daemon and of the next one.
Method: as daemon_test, with nobody for the account. What XDP pins is in
xdp_test.
"""

import json
import os
import pathlib
import shutil
import signal
import sys
import unittest

import daemon_test
import sip_world


@unittest.skipUnless(os.geteuid() == 0, "only root can become another")
class Files(daemon_test.Test):
    def test_the_session_file_is_the_accounts_to_rewrite(self):
        self.folder.chmod(0o755)
        kept = self.folder / "kept"
        kept.mkdir()
        file = kept / "calls"
        more = f'[process]\nuser = "nobody"\n[store]\nsessions = "{file}"\n'
        refused = self.daemon(more=more)
        self.assertEqual(refused.wait(), 1)
        self.assertIn(f"chown nobody {kept}", "".join(refused.errors))
        self.assertFalse(file.exists())
        shutil.chown(kept, "nobody")
        daemon = self.daemon(more=more).wait_ready()
        first = file.stat()
        self.assertEqual(file.owner(), "nobody")
        # Every change of a party is one more record, of which the last counts.
        call = "c" * 250
        for i in range(20000):
            if file.stat().st_ino != first.st_ino:
                break
            daemon.allocate(0, call=call, party=f"127.0.0.{2 + i % 2}")
        self.assertNotEqual(file.stat().st_ino, first.st_ino)
        self.assertEqual(file.owner(), "nobody")
        self.assertFalse([line for line in daemon.errors
                          if "the session file" in line])
        daemon.kill()
        daemon = self.daemon(more=more).wait_ready()
        self.assertEqual(daemon.calls(), 1)
        kept = json.loads(daemon.get("/v1/status")[1])["session_file"]
        self.assertEqual(kept["session_file_calls"], 1)
        self.assertEqual(kept["session_file_errors"], 0)

    @unittest.skipUnless(shutil.which("openssl"), "openssl is not installed")
    def test_the_key_file_is_read_again_by_the_account(self):
        self.folder.chmod(0o755)
        key = self.folder / "sip.key"
        certificate, tls_key = map(pathlib.Path, sip_world.make_certificate(
            self.folder, "127.0.0.1"))
        tls_key.chmod(0o600)
        shutil.chown(tls_key, "nobody")
        certificate.chmod(0o644)
        more = f"""\
[process]
user = "nobody"
[sip]
key_file = "{key}"
[[sip.leg]]
name = "leg"
listen = ["tls:127.0.0.1:{daemon_test.free_port()}"]
chain = ["proxy"]
tls_certificate = "{certificate}"
tls_key = "{tls_key}"
"""
        for _ in range(2):
            daemon = self.daemon(more=more).wait_ready()
            self.assertEqual(key.owner(), "nobody")
            daemon.signal(signal.SIGHUP)
            daemon.wait_error("reloaded")
            # Made anew by root, who does not think of it.
            for number, file in enumerate((key, tls_key), 1):
                shutil.chown(file, "root")
                daemon.signal(signal.SIGHUP)
                line = daemon.wait_error("reload refused", number)
                self.assertIn(str(file), line)
                self.assertIn("the account nobody must be able to read it",
                              line)
                shutil.chown(file, "nobody")
            daemon.signal(signal.SIGHUP)
            daemon.wait_error("reloaded", 2)
            daemon.signal(signal.SIGTERM)
            self.assertEqual(daemon.wait(), 0)


def main() -> int:
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(Files)
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    failed = len(result.failures) + len(result.errors)
    skipped = len(result.skipped)
    for test, reason in result.skipped:
        print(f"skipped: {test}: {reason}")
    print(f"{result.testsRun - failed - skipped} passed, {failed} failed"
          + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
