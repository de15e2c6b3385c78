"""How many tests passed and failed, read from what a test program printed.

One program is many tests: a gtest binary, a Perl script that speaks TAP, a
Python unittest, or a program of tests/whole/ that ends in "N passed, N failed".
What is none of these is one test, and its exit status the verdict."""

import re
from typing import NamedTuple

SKIPPED_STATUS = 77  # the exit status that says "cannot run here"


class Tally(NamedTuple):
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other):
        return Tally(*(a + b for a, b in zip(self, other)))

    def __str__(self) -> str:
        line = f"{self.passed} passed, {self.failed} failed"
        return line + (f", {self.skipped} skipped" if self.skipped else "")


_OWN = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$",
                  re.MULTILINE)
_UNITTEST = re.compile(r"^Ran (\d+) tests? in .*?^(?:OK|FAILED)(?: \((.*)\))?$",
                       re.MULTILINE | re.DOTALL)
_TAP = re.compile(r"^(not )?ok\b([^\n]*)", re.MULTILINE)
_TAP_PLAN = re.compile(r"^1\.\.(\d+)", re.MULTILINE)


def last_line(text: str) -> str:
    lines = text.strip().split("\n")
    return lines[-1].strip()


def _gtest(text: str) -> Tally:
    # A case's end stands alone on its line with its time; the list of failures
    # after the summary has none.
    def ends(word: str) -> int:
        return len(re.findall(
            rf"\[ *{word} *\] [^\n]*\(\d+ ms\)$", text, re.MULTILINE))
    # A case that skips itself says so; one that only was begun was cut short.
    return Tally(ends("OK"), ends("FAILED"), ends("SKIPPED"))


def _unittest(match: re.Match) -> Tally:
    bad = {key: int(number) for key, number in
           re.findall(r"(\w+)=(\d+)", match.group(2) or "")}
    failed = bad.get("failures", 0) + bad.get("errors", 0)
    skipped = bad.get("skipped", 0)
    return Tally(max(int(match.group(1)) - failed - skipped, 0), failed,
                 skipped)


def _tap(text: str) -> Tally:
    tally = Tally()
    for match in _TAP.finditer(text):
        if re.search(r"# *(?:skip|todo)\b", match.group(2), re.IGNORECASE):
            tally += Tally(skipped=1)
        elif match.group(1):
            tally += Tally(failed=1)
        else:
            tally += Tally(passed=1)
    plan = _TAP_PLAN.search(text)
    missing = int(plan.group(1)) - sum(tally) if plan else 0
    return tally + Tally(failed=max(missing, 0))


def count(output: str, status: int) -> Tally:
    """The tests of one program that printed `output` and ended with `status`
    (negative: killed by that signal)."""
    unittest = list(_UNITTEST.finditer(output))
    own = _OWN.fullmatch(last_line(output))
    if own:
        tally = Tally(*(int(n or 0) for n in own.groups()))
    elif "[==========]" in output:
        tally = _gtest(output)
    elif unittest:
        tally = _unittest(unittest[-1])
    elif _TAP_PLAN.search(output):
        tally = _tap(output)
    elif status == SKIPPED_STATUS:
        return Tally(skipped=1)
    else:
        tally = Tally(passed=1) if status == 0 else Tally(failed=1)
    # Dead before its last word, or a leak found on the way out: whatever the
    # cases said, something failed.
    if status not in (0, SKIPPED_STATUS) and tally.failed == 0:
        tally += Tally(failed=1)
    if sum(tally) == 0:
        tally = Tally(failed=1)  # a program that tests nothing
    return tally
