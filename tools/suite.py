#!/usr/bin/env python3
"""Runs the tests of a build directory and adds them up.

  tools/suite.py BUILD [--suite NAME]... [--slow N] [--whole]

First `meson test` (all suites, or those named; what they need is built), then
with --whole the programs of tests/whole/, the relay's among them once more over
veth with XDP, and with XDP taken away from under the calls. Prints what failed
with its output; the last line is "N passed, N failed". Exits 1 if anything
failed."""

import argparse
import json
import pathlib
import re
import subprocess
import sys

import tally
from tally import Tally

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Arguments of run_whole.py, by what the sum is called.
WHOLE = (("whole", []), ("whole, XDP", ["--veth", "native"]),
         ("XDP taken", ["--veth", "native", "--detach"]))
OUTPUT_LINES_MAX = 200  # of each failure; the rest is in the log


def show(name: str, output: str) -> None:
    lines = output.rstrip().split("\n")
    print(f"--- FAILED: {name}")
    if len(lines) > OUTPUT_LINES_MAX:
        print(f"... {len(lines) - OUTPUT_LINES_MAX} lines before")
    print("\n".join(lines[-OUTPUT_LINES_MAX:]), flush=True)


def meson_tests(build: pathlib.Path, suites: list[str], slow: int) -> Tally:
    log = build / "meson-logs" / "suite.json"
    log.unlink(missing_ok=True)
    command = ["meson", "test", "-C", str(build), "--logbase", "suite",
               "--timeout-multiplier", str(slow)]
    for suite in suites:
        command += ["--suite", suite]
    run = subprocess.run(command, stdin=subprocess.DEVNULL, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    results = [json.loads(line) for line in log.read_text().splitlines()] \
        if log.is_file() else []
    total, by_suite = Tally(), {}
    for result in results:
        output = result.get("stdout", "") + result.get("stderr", "")
        status = result["returncode"]
        if result["result"] == "TIMEOUT":
            output += "\n(stopped: it took longer than its timeout)"
            status = -9
        counted = tally.count(output, status)
        # Meson calls a test "sluice:relay+threaded / shard_pool".
        suite = result["name"].split(" / ")[0].split(":")[-1].split("+")[0]
        by_suite[suite] = by_suite.get(suite, Tally()) + counted
        total += counted
        if counted.failed:
            show(result["name"], output)
    for suite, counted in sorted(by_suite.items()):
        print(f"{suite:12} {counted}", flush=True)
    if run.returncode != 0 and total.failed == 0:
        # It did not build: what was built well before is of no interest.
        show(" ".join(command), re.sub(
            r"^\[\d+/\d+\] (?:Compiling|Linking|Generating).*\n", "",
            run.stdout, flags=re.MULTILINE))
        total += Tally(failed=1)
    if not results and run.returncode == 0:
        print("no test was run")
        total += Tally(failed=1)
    return total


def whole_tests(build: pathlib.Path) -> Tally:
    total = Tally()
    for name, arguments in WHOLE:
        run = subprocess.run(
            [sys.executable, ROOT / "tests/whole/run_whole.py", *arguments,
             build], stdin=subprocess.DEVNULL, text=True,
            stdout=subprocess.PIPE)
        counted = tally.count(run.stdout, run.returncode)
        lines = run.stdout.rstrip().split("\n")
        print("\n".join(lines[:-1]))
        print(f"{name:12} {counted}", flush=True)
        total += counted
    return total


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--suite", action="append", default=[])
    parser.add_argument("--slow", type=int, default=1,
                        help="timeouts times this, for sanitizers")
    parser.add_argument("--whole", action="store_true")
    options = parser.parse_args()
    total = meson_tests(options.build, options.suite, options.slow)
    if options.whole:
        total += whole_tests(options.build)
    print(total)
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
