#!/usr/bin/env python3
"""What of the parsers of sip/ the tests run, line by line.

  tools/coverage.py BUILD

BUILD is gcc's, configured with -Db_coverage=true. Runs the suites sip and fuzz
(which tries the inputs of tests/fuzz/corpus/ again), then reads what gcov says
of every object and prints each parser with its lines that nothing ran. The last
line is "N passed, N failed", the bound on the sum being one test."""

import json
import os
import pathlib
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Iterator

import suite
from tally import Tally

ROOT = pathlib.Path(__file__).resolve().parent.parent
SUITES = ["sip", "fuzz"]
SLOW = 5  # timeouts times this: counted and not optimized
PERCENT_MIN = 95  # of the lines of all parsers together

# What takes octets that a stranger sent apart, .cc and .h of each. Who only asks
# one of these (proxy, registrar, reply) or hands octets on whole (transport,
# streams, the ciphers of keys) is none.
PARSERS = ("message", "names", "fields", "uri", "host", "cursor", "framer",
           "sdp", "find_sdp", "sdp_apply", "dns_records", "digest",
           "nonce_book", "branch", "contact_token")

# path -> line -> how often it ran, of the lines that have code
Counts = dict[str, dict[int, int]]


def parser_files() -> list[str]:
    return [f"sip/{name}{end}" for name in PARSERS for end in (".cc", ".h")
            if (ROOT / f"sip/{name}{end}").is_file()]


def forget(build: pathlib.Path) -> None:
    """Counts are added to what is there: begin with none."""
    for data in build.rglob("*.gcda"):
        data.unlink()


def objects(build: pathlib.Path) -> list[pathlib.Path]:
    """What ran, and what of sip/ did not: its lines count too. An inline
    function is in many objects, and the linker takes one of them."""
    ran = set(build.rglob("*.gcda"))
    notes = (build / "libsip.a.p").glob("*.gcno")
    return sorted(ran | {n for n in notes if n.with_suffix(".gcda") not in ran})


def gcov(path: pathlib.Path) -> Iterator[tuple[str, int, int]]:
    """(source, line, count) of one object, of our sources only."""
    run = subprocess.run(
        ["gcov", "--json-format", "--stdout", "--relative-only", path],
        cwd=path.parent, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True)
    if run.returncode != 0:
        raise SystemExit(f"tools/coverage.py: gcov {path}: "
                         f"{run.stderr.strip()}")
    for text in run.stdout.splitlines():
        report = json.loads(text)
        folder = report["current_working_directory"]
        for file in report["files"]:
            source = os.path.relpath(
                os.path.realpath(os.path.join(folder, file["file"])), ROOT)
            for line in file["lines"]:
                yield source, line["line_number"], line["count"]


def written(name: str, lines: dict[int, int]) -> dict[int, int]:
    """Without the braces: what gcc counts there is what it put in for leaving
    the block, mostly by an exception."""
    text = (ROOT / name).read_text().split("\n")
    return {line: count for line, count in lines.items()
            if re.search(r"\w", text[line - 1])}


def read(build: pathlib.Path) -> Counts:
    counts: Counts = {name: {} for name in parser_files()}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for rows in pool.map(lambda path: list(gcov(path)), objects(build)):
            for source, line, count in rows:
                if source in counts:
                    known = counts[source]
                    known[line] = known.get(line, 0) + count
    return {name: written(name, lines) for name, lines in counts.items()}


def ranges(lines: dict[int, int]) -> str:
    """Where nothing ran: "12, 40-44". Lines without code join their
    neighbours."""
    found: list[list[int]] = []
    before_ran = True
    for line, count in sorted(lines.items()):
        if count == 0 and before_ran:
            found.append([line, line])
        elif count == 0:
            found[-1][1] = line
        before_ran = count != 0
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in found)


def row(name: str, lines: int, ran: int, rest: str = "") -> str:
    # Rounded down: what is told as the bound has reached it.
    percent = ran * 1000 // lines / 10
    return f"{name:22} {lines:6} {ran:6} {percent:6.1f} %  {rest}".rstrip()


def judge(counts: Counts) -> Tally:
    """Prints the table. A unit of which gcov knows no line is renamed, or in no
    build, and its name here stale."""
    tally = Tally()
    for name in PARSERS:
        if not (counts.get(f"sip/{name}.cc") or counts.get(f"sip/{name}.h")):
            print(f"--- FAILED: {name}: no sip/{name}.* has a line of code")
            tally += Tally(failed=1)
    counts = {name: lines for name, lines in counts.items() if lines}
    print(f"{'file':22} {'lines':>6} {'ran':>6}           not run")
    for name, lines in counts.items():
        ran = sum(count != 0 for count in lines.values())
        print(row(name, len(lines), ran, ranges(lines)))
    lines = sum(len(of) for of in counts.values())
    ran = sum(count != 0 for of in counts.values() for count in of.values())
    if lines != 0:
        print(row("all parsers", lines, ran))
    if ran * 100 < lines * PERCENT_MIN or lines == 0:
        print(f"--- FAILED: less than {PERCENT_MIN} % of the parsers' lines ran")
        return tally + Tally(failed=1)
    return tally + Tally(passed=1)


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    build = pathlib.Path(sys.argv[1]).resolve()
    forget(build)
    total = suite.meson_tests(build, SUITES, SLOW)
    total += judge(read(build))
    print(total)
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
