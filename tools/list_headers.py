#!/usr/bin/env python3
"""Lists the tree's headers, one a line, for the test that each stands alone.

With --same-as FILE it compares instead: exit 1 and the difference when FILE,
written when the build directory was configured, no longer holds.
"""

import pathlib
import sys

import house


def main() -> int:
    root = pathlib.Path(__file__).resolve().parent.parent
    now = [str(p.relative_to(root)) for p in house.files(root)
           if p.suffix == ".h"]
    if len(sys.argv) == 3 and sys.argv[1] == "--same-as":
        then = pathlib.Path(sys.argv[2]).read_text().split()
        for name in sorted(set(now) ^ set(then)):
            print(f"{name}: came or went since the build was configured; "
                  "run `meson setup --reconfigure` on it")
        return 1 if set(now) != set(then) else 0
    print("\n".join(now))
    return 0


if __name__ == "__main__":
    sys.exit(main())
