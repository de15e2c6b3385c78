#!/usr/bin/env python3
"""Each include rule of tools/check_layers.py fires on a breach and lets the
lawful neighbour pass."""

import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

import check_layers  # noqa: E402

# path, text, part of the message (None: lawful)
CASES = [
    ("base/a.h", '#include "base/types.h"', None),
    ("base/a.h", '#include "relay/shard.h"', "may not include relay/shard.h"),
    ("base/a.h", '#include "absl/strings/str_cat.h"', None),
    ("rtp/a.h", '#include "base/types.h"', None),
    ("rtp/a.cc", '#include "relay/shard.h"', "may not include relay/shard.h"),
    ("rtp/a.cc", '#include "sip/uri.h"', "may not include sip/uri.h"),
    ("base/a.cc", '#include "rtp/packet.h"', "may not include rtp/packet.h"),
    ("relay/a.cc", '#include "base/types.h"', None),
    ("relay/a.cc", '#include "rtp/packet.h"', None),
    ("sip/a.cc", '#include "rtp/session.h"', None),
    ("control/a.cc", '#include "rtp/quality.h"', None),
    ("relay/a.cc", '#include "control/config.h"', "may not include control/"),
    ("relay/a.cc", '#include "sip/uri.h"', "may not include sip/uri.h"),
    ("sip/a.cc", '#include "base/types.h"', None),
    ("sip/a.cc", '#include "relay/session_command.h"',
     "may not include relay/session_command.h"),
    ("control/a.cc", '#include "sip/uri.h"', None),
    ("control/a.cc", '#include "tools/x.h"', "may not include tools/x.h"),
    ("tools/a.cc", '#include "control/config.h"', None),
    ("tools/a.cc", '#include "tests/fakes/ring.h"', "may not include tests/"),
    ("control/a.cc", '#include "bench/x.h"', "may not include bench/x.h"),
    ("tests/a_test.cc", '#include "tests/fakes/ring.h"', None),
    ("bench/a_bench.cc", '#include "tests/fakes/ring.h"', None),
    ("relay/a.cc", '  #  include   "control/config.h"', "may not include"),
    ("relay/a.cc", '// #include "control/config.h"', None),
    ("relay/a.cc", '/* \n#include "control/config.h"\n*/', None),
    ("relay/a.cc", '#include "b.h"', 'name "b.h" from the root'),
    ("base/net/a.h", "#include <liburing.h>", None),
    ("relay/a.h", "#include <liburing.h>", "liburing.h only in base/net/"),
    ("tests/a_test.cc", "#include <linux/io_uring.h>", "only in base/net/"),
    ("relay/xdp/a.cc", "#include <bpf/libbpf.h>", None),
    ("bench/xdp/a.cc", "#include <bpf/libbpf.h>", None),
    ("control/a.cc", "#include <bpf/libbpf.h>", "only in relay/xdp/"),
    ("relay/a.cc", "#include <mutex>", "does not lock"),
    ("relay/a.cc", "#include <condition_variable>", "does not lock"),
    ("relay/a.cc", '#include "absl/synchronization/mutex.h"', "does not lock"),
    ("relay/a.cc", "std::shared_mutex m;", "does not lock"),
    ("relay/a.cc", "#include <pthread.h>", None),
    ("relay/a.cc", "pthread_mutex_t m; pthread_mutex_lock(&m);",
     "does not lock"),
    ("relay/a.cc", "// no std::mutex here", None),
    ("control/a.cc", "#include <mutex>", None),
    ("control/a.cc", "#include <unordered_map>", "flat_hash_map"),
    ("tests/a_test.cc", "std::unordered_set<int> s;", "flat_hash_map"),
    ("base/a.cc", "getaddrinfo(host, 0, 0, &r);", "blocks the thread"),
    ("base/a.cc", "#include <netdb.h>", "blocks the thread"),
    ("base/a.cc", 'Log("getaddrinfo( failed");', None),
]


class LayersTest(unittest.TestCase):
    def test_each_rule(self):
        for path, text, want in CASES:
            with self.subTest(path=path, text=text), \
                    tempfile.TemporaryDirectory() as folder:
                root = pathlib.Path(folder)
                for name in check_layers.MAY_SEE:
                    (root / name).mkdir()
                (root / "relay/b.h").touch()
                file = root / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text("\n" + text + "\n")
                found = check_layers.check(root)
                if want is None:
                    self.assertEqual([], found)
                else:
                    self.assertEqual(1, len(found), found)
                    self.assertIn(want, str(found[0]))
                    self.assertEqual((path, 2), found[0][:2])


if __name__ == "__main__":
    unittest.main()
