"""What the checks of the house share: which files are ours, and a C++ text
without its comments and literals, so that a rule about code does not fire on
prose."""

import pathlib
import re
import sys
from typing import Iterator, NamedTuple

CODE = (".h", ".cc", ".def", ".c")

# Inputs, not texts: a message may well be broken on purpose.
_DATA = ("tests/data/", "tests/fuzz/corpus/")


class Finding(NamedTuple):
    path: str
    line: int  # 0: the file as a whole
    message: str

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else self.path
        return f"{place}: {self.message}"


def folders(root: pathlib.Path) -> list[str]:
    """The tree's own folders: not git's, not an editor's, no build's."""
    return sorted(
        p.name for p in root.iterdir()
        if p.is_dir() and not p.name.startswith(("build", "__"))
        and (not p.name.startswith(".") or p.name == ".ci")
        and not (p / "meson-private").is_dir())


def files(root: pathlib.Path) -> list[pathlib.Path]:
    """Every file of ours under `root`, sorted; no build output, no data."""
    found = [p for p in root.iterdir() if p.is_file()]
    for folder in folders(root):
        found += (p for p in (root / folder).rglob("*") if p.is_file())
    return sorted(
        p for p in found
        if "__pycache__" not in p.parts and p.suffix != ".pyc"
        and not str(p.relative_to(root)).startswith(_DATA))


# Raw strings first: their bodies may hold quotes and comment signs. A quote
# between digits is a separator (16'384), not a literal.
_SKIPPED = re.compile(
    r'R"(?P<tag>[^()\s\\]{0,16})\(.*?\)(?P=tag)"'
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|(?<![0-9a-fA-F])'(?:[^'\\\n]|\\.)+'"
    r"|//[^\n]*|/\*.*?\*/", re.DOTALL)


def code_only(text: str) -> str:
    """`text` with comments and the insides of literals blanked; the lines stay
    where they were. Include lines keep their names."""
    def blank(match: re.Match) -> str:
        line = text[text.rfind("\n", 0, match.start()) + 1:match.start()]
        if match.group().startswith('"') and \
                re.fullmatch(r"\s*#\s*include\s*", line):
            return match.group()
        return re.sub(r"[^\n]", " ", match.group())
    return _SKIPPED.sub(blank, text)


def lines_matching(pattern: re.Pattern,
                   text: str) -> Iterator[tuple[int, re.Match]]:
    for number, line in enumerate(text.split("\n"), 1):
        match = pattern.search(line)
        if match:
            yield number, match


def report(findings: list[Finding]) -> int:
    """Prints and counts them; the exit status of a check."""
    for finding in findings:
        print(finding)
    if findings:
        print(f"{len(findings)} findings", file=sys.stderr)
    return 1 if findings else 0
