#!/usr/bin/env python3
"""tools/coverage.py: what did not run is named, too much of it fails, and so
does a name in its list that is no parser any more."""

import contextlib
import io
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

import coverage  # noqa: E402
from tally import Tally  # noqa: E402


def counts(ran: int, lines: int) -> coverage.Counts:
    """Every unit has one line, that ran, and the first one `lines` of which
    `ran` ran."""
    each = {f"sip/{name}.cc": {1: 1} for name in coverage.PARSERS}
    each[f"sip/{coverage.PARSERS[0]}.cc"] = {
        line: int(line <= ran) for line in range(1, lines + 1)}
    return each


def judge(given: coverage.Counts) -> tuple[Tally, str]:
    with contextlib.redirect_stdout(io.StringIO()) as said:
        return coverage.judge(given), said.getvalue()


class CoverageTest(unittest.TestCase):
    def test_the_bound_is_on_the_sum(self):
        others = len(coverage.PARSERS) - 1
        lines = 20 * (others + 5) - others
        bound = 19 * (others + 5) - others
        self.assertEqual(judge(counts(bound, lines))[0], Tally(1, 0))
        tally, said = judge(counts(bound - 1, lines))
        self.assertEqual(tally, Tally(0, 1))
        # Not rounded up to what it has not reached.
        self.assertIn(" 94.", said)
        self.assertNotIn("95.0", said)

    def test_nothing_ran(self):
        self.assertEqual(judge({}),
                         (Tally(0, len(coverage.PARSERS) + 1), judge({})[1]))

    def test_a_unit_that_is_no_more(self):
        gone = counts(100, 100)
        del gone[f"sip/{coverage.PARSERS[-1]}.cc"]
        tally, said = judge(gone)
        self.assertEqual(tally, Tally(1, 1))
        self.assertIn(coverage.PARSERS[-1], said)

    def test_a_header_counts_for_its_unit(self):
        moved = counts(100, 100)
        moved[f"sip/{coverage.PARSERS[-1]}.h"] = moved.pop(
            f"sip/{coverage.PARSERS[-1]}.cc")
        self.assertEqual(judge(moved)[0], Tally(1, 0))

    def test_lines_that_did_not_run_are_named(self):
        self.assertEqual(coverage.ranges({1: 1, 2: 3}), "")
        self.assertEqual(
            coverage.ranges({9: 0, 1: 0, 4: 1, 5: 0, 7: 0, 8: 2}), "1, 5-7, 9")

    def test_a_brace_is_no_line(self):
        name = coverage.parser_files()[0]
        text = (coverage.ROOT / name).read_text().split("\n")
        brace = text.index("}") + 1
        code = next(number for number, line in enumerate(text, 1)
                    if "return" in line)
        self.assertEqual(coverage.written(name, {brace: 0, code: 0}), {code: 0})

    def test_the_list_is_of_this_tree(self):
        named = {pathlib.Path(file).stem for file in coverage.parser_files()}
        self.assertEqual(named, set(coverage.PARSERS))


if __name__ == "__main__":
    unittest.main()
