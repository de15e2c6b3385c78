#!/usr/bin/env python3
"""Holds the include rules: who may see whom, and which header only one folder
may see. `tools/check_layers.py [ROOT]`; exit 1 and one line a breach."""

import pathlib
import re
import sys

import house

# A folder and the folders whose headers it may include. `bench` and `tests`
# see everything and nobody sees them.
MAY_SEE = {
    "base": {"base"},
    "rtp": {"rtp", "base"},
    "relay": {"relay", "rtp", "base"},
    "sip": {"sip", "rtp", "base"},
    "control": {"control", "sip", "relay", "rtp", "base"},
    "tools": {"tools", "control", "sip", "relay", "rtp", "base"},
    "bench": {"bench", "tests", "tools", "control", "sip", "relay", "rtp", "base"},
    "tests": {"bench", "tests", "tools", "control", "sip", "relay", "rtp", "base"},
}

# header -> (the only folders for it, what to use elsewhere)
CONFINED = [
    (re.compile(r"liburing(\.h|/.*)|linux/io_uring\.h"), ("base/net/",),
     "use base/net/uring.h"),
    # The benchmark's generator is a program of its own.
    (re.compile(r"bpf/.*|linux/bpf\.h"), ("relay/xdp/", "bench/xdp/"),
     "use relay/xdp/program.h"),
]

# (what, where it is not wanted, what to use instead)
BANNED_HEADERS = [
    (re.compile(r"mutex|shared_mutex|condition_variable|absl/synchronization/.*"
                r"|semaphore(\.h)?"), ("relay",),
     "relay/ does not lock: give the datum one owner and send it a command "
     "through base/spsc_queue.h"),
    (re.compile(r"unordered_map|unordered_set"), tuple(MAY_SEE),
     "use absl::flat_hash_map or base/slot_map.h"),
    (re.compile(r"netdb\.h"), tuple(MAY_SEE),
     "getaddrinfo blocks the thread: take literals (IpAddress::Parse), "
     "resolve names in the control thread's loop"),
]
BANNED_NAMES = [
    (re.compile(r"\bstd::unordered_(?:multi)?(?:map|set)\b"), tuple(MAY_SEE),
     "use absl::flat_hash_map or base/slot_map.h"),
    (re.compile(r"\b(?:getaddrinfo|gethostbyname\w*)\s*\("), tuple(MAY_SEE),
     "it blocks the thread: take literals (IpAddress::Parse), resolve names "
     "in the control thread's loop"),
    (re.compile(r"\b(?:std::(?:recursive_|timed_|shared_)?mutex"
                r"|absl::Mutex|pthread_(?:mutex|cond|rwlock|spin)_\w+)\b"), ("relay",),
     "relay/ does not lock: give the datum one owner and send it a command "
     "through base/spsc_queue.h"),
]

_INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')


def check(root: pathlib.Path) -> list[house.Finding]:
    findings = []
    for path in house.files(root):
        name = str(path.relative_to(root))
        folder = path.relative_to(root).parts[0]
        if path.suffix not in house.CODE or folder not in MAY_SEE:
            continue
        code = house.code_only(path.read_text())

        def say(line: int, message: str, name: str = name) -> None:
            findings.append(house.Finding(name, line, message))

        for line, match in house.lines_matching(_INCLUDE, code):
            header = match.group(1) or match.group(2)
            target = header.split("/")[0]
            if target in MAY_SEE and (root / target).is_dir():
                if target not in MAY_SEE[folder]:
                    say(line, f"{folder}/ may not include {header} (only "
                        f"{', '.join(sorted(MAY_SEE[folder]))})")
            elif match.group(1) and (path.parent / header).is_file():
                say(line, f"name \"{header}\" from the root of the tree")
            for pattern, homes, instead in CONFINED:
                if pattern.fullmatch(header) and not name.startswith(homes):
                    say(line, f"{header} only in {' and '.join(homes)}: "
                              f"{instead}")
            for pattern, where, instead in BANNED_HEADERS:
                if pattern.fullmatch(header) and folder in where:
                    say(line, f"<{header}> in {folder}/: {instead}")
        for pattern, where, instead in BANNED_NAMES:
            if folder in where:
                for line, match in house.lines_matching(pattern, code):
                    say(line, f"{match.group().rstrip('( ')} in {folder}/: "
                        f"{instead}")
    return findings


def main() -> int:
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else
                        pathlib.Path(__file__).resolve().parent.parent)
    return house.report(check(root))


if __name__ == "__main__":
    sys.exit(main())
