#!/usr/bin/env python3
"""tools/tally.py: what a program printed is counted as what it was, and
nothing that failed is counted as passed."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

from tally import Tally, count  # noqa: E402

GTEST = """\
[==========] Running 3 tests from 1 test suite.
[ RUN      ] A.B
[       OK ] A.B (0 ms)
[ RUN      ] A.C
x_test.cc:3: Failure
[  FAILED  ] A.C, where GetParam() = 3 (12 ms)
[ RUN      ] A.D
[  SKIPPED ] A.D (0 ms)
[==========] 3 tests from 1 test suite ran. (12 ms total)
[  PASSED  ] 1 test.
[  FAILED  ] 1 test, listed below:
[  FAILED  ] A.C, where GetParam() = 3
"""
GTEST_CUT = """\
[==========] Running 3 tests from 1 test suite.
[ RUN      ] A.B
[       OK ] A.B (0 ms)
[ RUN      ] A.C
"""
GTEST_GOOD = GTEST_CUT.replace("[ RUN      ] A.C\n", "") + "[  PASSED  ] 1 test."
TAP = "ok 1 - a\nnot ok 2 - b\n# why\nok 3 # SKIP no\n    ok 1 - inner\n1..3\n"
UNITTEST = "..\n-----\nRan 5 tests in 0.1s\n\n"

CASES = [
    ("gtest", GTEST, 1, Tally(1, 1, 1)),
    ("gtest, all well", GTEST_GOOD, 0, Tally(1, 0)),
    ("gtest that crashed", GTEST_CUT, -11, Tally(1, 1)),
    ("gtest with a leak at its end", GTEST_GOOD, 1, Tally(1, 1)),
    ("own line", "x\n12 passed, 1 failed\n", 1, Tally(12, 1)),
    ("own line with skips", "3 passed, 0 failed, 2 skipped", 0, Tally(3, 0, 2)),
    ("own line, not last", "3 passed, 0 failed\nmore\n", 0, Tally(1, 0)),
    ("own line, bad status", "3 passed, 0 failed\n", 2, Tally(3, 1)),
    ("own line that counts nothing", "0 passed, 0 failed\n", 0, Tally(0, 1)),
    ("TAP", TAP, 1, Tally(1, 1, 1)),
    ("TAP cut short", "1..4\nok 1\nok 2\n", 255, Tally(2, 2)),
    ("unittest", UNITTEST + "OK\n", 0, Tally(5, 0)),
    ("unittest failed", UNITTEST + "FAILED (failures=1, errors=1, skipped=1)\n",
     1, Tally(2, 2, 1)),
    ("silent and well", "", 0, Tally(1, 0)),
    ("silent and not", "", 3, Tally(0, 1)),
    ("cannot run here", "no Perl\n", 77, Tally(0, 0, 1)),
    ("killed", "", -9, Tally(0, 1)),
]


class TallyTest(unittest.TestCase):
    def test_each_form(self):
        for name, output, status, want in CASES:
            with self.subTest(name):
                self.assertEqual(want, count(output, status))

    def test_the_line_that_people_read(self):
        self.assertEqual("3 passed, 0 failed", str(Tally(3, 0)))
        self.assertEqual("3 passed, 1 failed, 2 skipped", str(Tally(3, 1, 2)))


if __name__ == "__main__":
    unittest.main()
