#!/usr/bin/env python3
"""Runs the whole-daemon programs of this folder, one after the other.

  run_whole.py BUILD [NAME...]
  run_whole.py --load BUILD [ARGS of sluiceload rtp]

A program is a file here that begins with #! and is not this one. What it gets:

  *.py   argv: BUILD. Starts what it needs itself, ends with the line
         "N passed, N failed" (", N skipped" may follow).
  *.pl   argv: the path of the NATHelper RPC socket of a sluiced that was
         started for it alone, and BUILD. Speaks TAP.

Exit status 77 says that it cannot run here. The output of what failed is
printed; the last line is "N passed, N failed".

With --load no program is run but sluiceload, against such a daemon."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
from typing import Iterator

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "tools"))

import tally  # noqa: E402  (found by the line above)
from tally import Tally  # noqa: E402

PROGRAM_TIMEOUT_S = 600
READY_TIMEOUT_S = 20
STOP_TIMEOUT_S = 20

CONFIG = """\
[log]
level = "info"
[relay]
shards = 1
engine = "{engine}"
ports = [10000, 32767]
drain_timeout_s = 1
[[relay.interface]]
name = "default"
address = "127.0.0.1"
[nathelper]
listen = ["unix:{folder}/nathelper.sock"]
[http]
listen = "127.0.0.1:{http_port}"
[control]
socket = "{folder}/control.sock"
"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class DaemonFailed(Exception):
    pass


@contextlib.contextmanager
def daemon(build: pathlib.Path,
           engine: str = "auto") -> Iterator[pathlib.Path]:
    """A sluiced that is ready, on loopback, gone afterwards; yields the folder
    with its `nathelper.sock` and `log`. Raises DaemonFailed with the log if it
    does not start or does not end well."""
    with tempfile.TemporaryDirectory(prefix="sluice-whole-") as name:
        folder = pathlib.Path(name)
        config = folder / "sluice.toml"
        config.write_text(CONFIG.format(folder=folder, engine=engine,
                                        http_port=_free_port()))
        log = folder / "log"
        with open(log, "wb") as out:
            process = subprocess.Popen(
                [build / "tools/sluiced", "--config", config],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            deadline = time.monotonic() + READY_TIMEOUT_S
            while "ready" not in log.read_text(errors="replace").split():
                if process.poll() is not None:
                    raise DaemonFailed(
                        f"sluiced ended with {process.returncode} before it "
                        f"was ready:\n{log.read_text(errors='replace')}")
                if time.monotonic() > deadline:
                    raise DaemonFailed("sluiced did not get ready:\n" +
                                       log.read_text(errors="replace"))
                time.sleep(0.02)
            yield folder
            process.send_signal(signal.SIGTERM)
            try:
                status = process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                status = "no answer"
            if status != 0:
                raise DaemonFailed(f"sluiced, told to stop: {status}\n" +
                                   log.read_text(errors="replace"))
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def _execute(command: list, name: str) -> tuple[str, int]:
    # A session of its own, so that its children end with it.
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT,
                               start_new_session=True)
    try:
        output, _ = process.communicate(timeout=PROGRAM_TIMEOUT_S)
        status = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        output += f"\n{name}: over {PROGRAM_TIMEOUT_S} s, stopped".encode()
        status = -signal.SIGKILL
    return output.decode(errors="replace"), status


def run(program: pathlib.Path, build: pathlib.Path) -> tuple[str, Tally]:
    if program.suffix == ".py":
        output, status = _execute([sys.executable, program, build],
                                  program.name)
        return output, tally.count(output, status)
    output, counted = "", Tally()
    try:
        with daemon(build) as folder:
            output, status = _execute(
                ["perl", program, folder / "nathelper.sock", build],
                program.name)
            counted = tally.count(output, status)
            if counted.failed:
                log = (folder / "log").read_text(errors="replace")
                output += f"\n--- sluiced said:\n{log}"
    except DaemonFailed as failed:
        return f"{output}\n{failed}", counted + Tally(failed=1)
    return output, counted


def programs(names: list[str]) -> list[pathlib.Path]:
    found = [p for p in sorted(HERE.iterdir())
             if p.suffix in (".py", ".pl") and p.name != "run_whole.py"
             and p.read_bytes().startswith(b"#!")]
    unknown = set(names) - {p.name for p in found} - {p.stem for p in found}
    if unknown:
        sys.exit(f"run_whole.py: no such program: {', '.join(unknown)}")
    return [p for p in found
            if not names or p.name in names or p.stem in names]


def load(build: pathlib.Path, arguments: list[str]) -> int:
    try:
        with daemon(build) as folder:
            return subprocess.run(
                [build / "tools/sluiceload", "rtp", "--rpc",
                 f"unix:{folder}/nathelper.sock", *arguments],
                stdin=subprocess.DEVNULL).returncode
    except DaemonFailed as failed:
        print(failed, file=sys.stderr)
        return 1


def main() -> int:
    if len(sys.argv) > 2 and sys.argv[1] == "--load":
        return load(pathlib.Path(sys.argv[2]).resolve(), sys.argv[3:])
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        print(__doc__)
        return 2
    build = pathlib.Path(sys.argv[1]).resolve()
    total = Tally()
    for program in programs(sys.argv[2:]):
        started = time.monotonic()
        output, counted = run(program, build)
        total += counted
        if counted.failed:
            print(f"--- FAILED: {program.name}\n{output.rstrip()}")
        print(f"  {program.name:28} {counted}  "
              f"({time.monotonic() - started:.1f} s)", flush=True)
    print(total)
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
