#!/usr/bin/env python3
"""Runs the whole-daemon programs of this folder, one after the other.

  run_whole.py BUILD [NAME...]
  run_whole.py --veth native|tc [--detach] BUILD [NAME...]
  run_whole.py --load BUILD [ARGS of sluiceload rtp]

A program is a file here that begins with #! and is not this one. What it gets:

  *.py   argv: BUILD, and CASE... if it was named as NAME:CASE,CASE (some take
         them). Starts what it needs itself, ends with the line "N passed, N
         failed" (", N skipped" may follow).
  *.pl   argv: the path of the NATHelper RPC socket of a sluiced that was
         started for it alone, and BUILD. Speaks TAP.

Exit status 77 says that it cannot run here. The output of what failed is
printed; the last line is "N passed, N failed".

With --veth the relay's programs, or those named of them, run with sluiced in a
network namespace of its own and media going by XDP or tc (veth_loopback.py; it
takes root). 127.0.0.1 is then sluiced's alone: tests and parties are at other
addresses of 127/8. It fails if no packet of a program with media went past the
sockets. With --detach the program is also taken off the device by force, of
each sluiced as soon as it forwards, and the tests have to pass all the same;
where none is named, only those with media run.

With --load no program is run but sluiceload, against such a daemon."""

import argparse
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

# What the relay does, by RPC and at its ports; the rest is SIP, or has veth of
# its own.
RELAY_SUITE = ("ctl_test", "daemon_test", "hostile_test", "load_test",
               "nathelper_client", "proxy_call")
# What has calls that last long enough to leave the sockets; most of load_test
# goes without sluiced.
WITH_MEDIA = ("hostile_test", "load_test:Sluiced", "nathelper_client",
              "proxy_call")
# With --veth: the mode of the interfaces that tests configure, and the network
# namespace that sluiced is in.
XDP_VARIABLE, NETNS_VARIABLE = "SLUICE_TEST_XDP", "SLUICE_TEST_NETNS"

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


def with_xdp(config: str) -> str:
    """That configuration for the path of media that this run is to test."""
    mode = os.environ.get(XDP_VARIABLE)
    if mode is None:
        return config
    return config.replace("[[relay.interface]]\n",
                          f'[[relay.interface]]\nxdp = "{mode}"\n')


def beside_sluiced():
    """In a `with`: what is opened there is in sluiced's network namespace, to
    which abstract UNIX addresses belong, too."""
    name = os.environ.get(NETNS_VARIABLE)
    if name is None:
        return contextlib.nullcontext()
    import namespaces  # as root, that is
    return namespaces.inside(name)


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
        config.write_text(with_xdp(CONFIG.format(
            folder=folder, engine=engine, http_port=_free_port())))
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


def run(program: pathlib.Path, build: pathlib.Path,
        cases: list[str]) -> tuple[str, Tally]:
    if program.suffix == ".py":
        output, status = _execute([sys.executable, program, build, *cases],
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


def programs(names) -> list[tuple[pathlib.Path, list[str]]]:
    """Those named, or all, each with its cases."""
    cases = {}
    for name in names:
        name, _, chosen = name.partition(":")
        cases[pathlib.Path(name).stem] = chosen.split(",") if chosen else []
    found = [p for p in sorted(HERE.iterdir())
             if p.suffix in (".py", ".pl") and p.name != "run_whole.py"
             and p.read_bytes().startswith(b"#!")]
    unknown = set(cases) - {p.stem for p in found}
    if unknown:
        sys.exit(f"run_whole.py: no such program: {', '.join(unknown)}")
    return [(p, cases.get(p.stem, [])) for p in found
            if not cases or p.stem in cases]


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


def run_all(names, build: pathlib.Path, world=None) -> Tally:
    total = Tally()
    with_media = {name.partition(":")[0] for name in WITH_MEDIA}
    for program, cases in programs(names):
        started = time.monotonic()
        begun = (world.forwarded(), world.detached, world.lost()) \
            if world else ()
        output, counted = run(program, build, cases)
        said = f"{time.monotonic() - started:.1f} s"
        if world:
            packets = world.forwarded() - begun[0]
            detached = world.detached - begun[1]
            said += f", {packets} packets past the sockets"
            if world.detach:
                said += f", taken off {detached} times"
            if program.stem in with_media and (
                    not packets or world.detach and not detached):
                output += f"\n{program.name}: {said}: nothing is tested so"
                counted += Tally(failed=1)
            if counted.failed and world.lost() > begun[2]:
                output += (f"\n{world.lost() - begun[2]} packets were lost by "
                           "the veth, before anybody saw them")
        total += counted
        if counted.failed:
            print(f"--- FAILED: {program.name}\n{output.rstrip()}")
        print(f"  {program.name:28} {counted}  ({said})", flush=True)
    return total


def over_veth(options) -> Tally:
    # It needs this module.
    import namespaces
    import veth_loopback
    reason = namespaces.why_not()
    if options.detach:
        reason = reason or namespaces.why_not_detach()
    if not reason:
        with veth_loopback.World(options.build, options.veth,
                                 options.detach) as world:
            reason = world.why_not()
            if not reason:
                total = run_all(options.names or (
                    WITH_MEDIA if options.detach else RELAY_SUITE),
                    world.build, world)
                for error in world.errors:
                    print(f"--- FAILED: taking the program off: {error}")
                return total + Tally(failed=len(world.errors))
    print(f"skipped: {reason}")
    return Tally(skipped=1)


def main() -> int:
    if len(sys.argv) > 2 and sys.argv[1] == "--load":
        return load(pathlib.Path(sys.argv[2]).resolve(), sys.argv[3:])
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter,
        usage=argparse.SUPPRESS)
    parser.add_argument("--veth", choices=("native", "tc"))
    parser.add_argument("--detach", action="store_true")
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    options.build = options.build.resolve()
    if options.veth:
        unfit = {pathlib.Path(n.partition(":")[0]).stem
                 for n in options.names} - set(RELAY_SUITE)
        if unfit:
            parser.error(f"not for --veth: {', '.join(sorted(unfit))}")
        total = over_veth(options)
    elif options.detach:
        parser.error("--detach takes --veth")
    else:
        total = run_all(options.names, options.build)
    print(total)
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
