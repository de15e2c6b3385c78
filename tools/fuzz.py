#!/usr/bin/env python3
"""Runs the fuzzers, one after the other, for a share of the time each.

  tools/fuzz.py BUILD SECONDS [NAME...]

Each starts from a copy of tests/fuzz/corpus/NAME, so that the tree does not
grow by what it finds. An input that breaks something is kept in
BUILD/fuzz-crashes/ and its path printed. The last line is
"N passed, N failed", a fuzzer being one test."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from tally import Tally

ROOT = pathlib.Path(__file__).resolve().parent.parent
INPUT_TIMEOUT_S = 10  # one input: longer is an endless loop
MEMORY_MB_MAX = 1024
OUTPUT_LINES = 60


def _trace(output: str) -> str:
    """From the line that says what is wrong to the summary; what follows is a
    dump of memory."""
    lines = output.rstrip().split("\n")
    begins = [i for i, line in enumerate(lines) if re.search(
        r"==ERROR|==\d+== ?ERROR|runtime error:|CHECK failed", line)]
    lines = lines[begins[0]:] if begins else lines[-OUTPUT_LINES:]
    ends = [i for i, line in enumerate(lines) if line.startswith("SUMMARY: ")]
    return "\n".join(lines[:OUTPUT_LINES] + [lines[i] for i in ends
                                             if i >= OUTPUT_LINES]
                     if not ends or ends[0] >= OUTPUT_LINES
                     else lines[:ends[0] + 1])


def fuzz(build: pathlib.Path, name: str, seconds: int) -> bool:
    crashes = build / "fuzz-crashes"
    crashes.mkdir(exist_ok=True)
    before = set(crashes.iterdir())
    with tempfile.TemporaryDirectory(prefix="sluice-fuzz-") as folder:
        corpus = pathlib.Path(folder) / name
        shutil.copytree(ROOT / "tests/fuzz/corpus" / name, corpus)
        command = [build / "tests" / f"{name}_fuzz",
                   f"-max_total_time={seconds}", f"-timeout={INPUT_TIMEOUT_S}",
                   f"-rss_limit_mb={MEMORY_MB_MAX}", "-print_final_stats=1",
                   f"-artifact_prefix={crashes}/{name}-"]
        words = ROOT / "tests/fuzz" / f"{name}.dict"
        if words.is_file():
            command.append(f"-dict={words}")
        run = subprocess.run(
            [*command, corpus], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace",
            env=os.environ | {"UBSAN_OPTIONS": "print_stacktrace=1"})
    kept = sorted(set(crashes.iterdir()) - before)
    if run.returncode != 0 or kept:
        print(f"--- FAILED: {name}_fuzz (status {run.returncode})")
        print(_trace(run.stdout))
        for path in kept:
            print(f"input: {path}")
        return False
    runs = re.search(r"number_of_executed_units: (\d+)", run.stdout)
    features = re.findall(r" cov: (\d+) ft: (\d+)", run.stdout)
    print(f"{name:14} {int(runs.group(1)) if runs else 0:>10} inputs, "
          f"{features[-1][0] if features else 0} edges, {seconds} s",
          flush=True)
    return True


def main() -> int:
    if len(sys.argv) < 3:
        print(__doc__)
        return 2
    build, seconds = pathlib.Path(sys.argv[1]).resolve(), int(sys.argv[2])
    names = sys.argv[3:] or sorted(
        p.name.removesuffix("_fuzz.cc")
        for p in (ROOT / "tests/fuzz").glob("*_fuzz.cc"))
    total = Tally()
    if names:
        built = subprocess.run(
            ["ninja", "-C", build] + [f"tests/{n}_fuzz" for n in names],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True)
        if built.returncode != 0:
            print(built.stdout)
            total += Tally(failed=1)
            names = []
    else:
        print("there is no fuzzer in tests/fuzz/")
        total += Tally(failed=1)
    for name in names:
        well = fuzz(build, name, max(1, seconds // len(names)))
        total += Tally(passed=1) if well else Tally(failed=1)
    print(total)
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
