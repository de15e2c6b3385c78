#!/usr/bin/env python3
"""The rules of style that a program can hold, each with its remedy in the
message. `tools/check_tidy.py [ROOT]`; exit 1 and one line a breach.

A rule is worth a line here when somebody broke it and nobody saw. Layout is
clang-format's (tools/dev format), includes are tools/check_layers.py's."""

import pathlib
import re
import sys

import house
from house import Finding

LINES_MAX = 700

# Written in two halves, or this file would break its own rule.
_MARKER = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
_MACHINE_PATH = re.compile(r"(?<![\w.}])/(?:home|work|root)" r"/|/tmp" r"/b-")

# A test may be blunter than what serves strangers.
SHIPPED = ("base/", "rtp/", "relay/", "sip/", "control/", "tools/")
ANYWHERE = ("",)

# (call, where: prefixes of the path, why and what instead)
BANNED_CALLS = [
    (r"\b(?:strcpy|strcat|strncpy|strncat|sprintf|vsprintf|gets)\s*\(", ANYWHERE,
     "no bound that the compiler sees: absl::StrCat, absl::StrFormat, "
     "or memcpy of a checked length"),
    (r"\bstrtok(?:_r)?\s*\(", ANYWHERE, "use absl::StrSplit"),
    (r"\b(?:atoi|atol|atoll|atof|std::sto[a-z]+|strtou?ll?|sscanf)\s*\(",
     SHIPPED,
     "cannot tell 0 from rubbish: absl::SimpleAtoi, std::from_chars"),
    (r"(?<![\w.>])s?rand\s*\(", ANYWHERE,
     "getrandom where a peer must not guess, std::mt19937_64 with a printed "
     "seed in tests"),
    (r"\b(?:inet_addr|inet_ntoa|inet_aton)\s*\(", ANYWHERE,
     "use IpAddress::Parse and ToString"),
    (r"\b(?:localtime|gmtime|ctime|asctime)\s*\(", ANYWHERE,
     "shared static state: absl::FormatTime, or the _r form"),
    (r"(?<![\w.>:])(?:system|popen)\s*\(", SHIPPED,
     "a shell between us and the operator's words"),
    (r"\bassert\s*\(", ANYWHERE, "CHECK or DCHECK of base/check.h"),
    (r"\bstd::endl\b", SHIPPED, "'\\n': flushing is a decision of its own"),
    (r"\bstd::regex\b", ANYWHERE, "recursion a peer can drive: a scanner by hand"),
    (r"\bstd::cout\b", ("base/",), "return it; the mains print"),
    (r"\bthrow\b", SHIPPED, "no exceptions of ours: absl::Status"),
    (r"\b(?:sleep_for|SleepFor)\s*\((?!.*[mM]icroseconds\()|\bsleep_until\b|"
     r"(?<![\w.>])u?sleep\s*\(", ("tests/",),
     "wait for the condition (poll its descriptor, advance the clock; between "
     "two looks at another thread pause for microseconds)"),
    (r"\bspdlog::", ("relay/",), "nothing is logged from the data plane: count "
     "it in relay/counters.def"),
    (r"\bstd::(?:map|set|multimap)\b", ("relay/",),
     "a tree walk and an allocation: base/slot_map.h or absl::flat_hash_map"),
    (r"\bNULL\b", ANYWHERE, "nullptr"),
]
_BANNED = [(re.compile(p), where, why) for p, where, why in BANNED_CALLS]


def _is_code(path: str) -> bool:
    return path.endswith((".h", ".cc"))


def markers(path, text, code):
    for line, match in house.lines_matching(_MARKER, text):
        yield line, (f"{match.group()}: do it, or file an issue and say here "
                     "what is true now")


def machine_paths(path, text, code):
    for line, match in house.lines_matching(_MACHINE_PATH, text):
        yield line, (f"{match.group()} is one machine's path: make it "
                     "relative, or an argument")


def whitespace(path, text, code):
    for line, match in house.lines_matching(re.compile(r"[ \t]+$|\r"), text):
        yield line, "white space at the end of the line"
    if text and not text.endswith("\n"):
        yield 0, "no newline at the end of the file"
    if _is_code(path):
        for line, _ in house.lines_matching(re.compile("\t"), text):
            yield line, "a tab: spaces, or \\t"


def length(path, text, code):
    lines = text.count("\n")
    if lines > LINES_MAX and path != "LICENSE":
        yield 0, (f"{lines} lines, {LINES_MAX} at most: split it by reason to "
                  "change")


def header_guard(path, text, code):
    if not path.endswith(".h"):
        return
    guard = "SLUICE_" + re.sub(r"[^A-Za-z0-9]", "_", path).upper() + "_"
    opens = re.search(r"^#ifndef (\S+)\n#define (\S+)$", code, re.MULTILINE)
    if not opens or opens.groups() != (guard, guard):
        yield 0, f"the header guard is to be {guard}"
    elif not text.rstrip().endswith(f"#endif  // {guard}"):
        yield 0, f"the last line is to be `#endif  // {guard}`"


def using_namespace(path, text, code):
    if path.endswith(".h"):
        for line, _ in house.lines_matching(
                re.compile(r"\busing\s+namespace\b"), code):
            yield line, "`using namespace` in a header: name what is used"


def banned_calls(path, text, code):
    if not _is_code(path):
        return
    for pattern, where, why in _BANNED:
        if path.startswith(where):
            for line, match in house.lines_matching(pattern, code):
                yield line, f"{match.group().rstrip('( ')}: {why}"


# Rules about one file: (path, text, code without comments) -> (line, message).
FILE_RULES = [markers, machine_paths, whitespace, length, header_guard,
              using_namespace, banned_calls]


def listed_in_meson(root):
    """A source that no meson.build names is never compiled, and a test that
    none names never fails."""
    for path in house.files(root):
        relative = path.relative_to(root)
        if path.suffix != ".cc" or len(relative.parts) == 1:
            continue
        # In the folder's own meson.build, or the one above it.
        named = False
        for home in (path.parent, path.parent.parent):
            build = home / "meson.build"
            if home == root or not build.is_file():
                continue
            wanted = str(path.relative_to(home))
            stem = re.sub(r"(?:_test|_bench|_fuzz)?\.cc$", "", wanted)
            named |= bool({wanted, stem} &
                          set(re.findall(r"'([^'\n]+)'", build.read_text())))
        if not named:
            yield Finding(str(relative), 0, "no meson.build names it: it is "
                          "dead code, or a test that cannot fail")


DOCS = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "bench/README.md")
def _spellings(text):
    """a.{h,cc} is two paths."""
    match = re.search(r"\{([^{}]*)\}", text)
    if not match:
        return [text]
    return [spelling for part in match.group(1).split(",")
            for spelling in _spellings(
                text[:match.start()] + part + text[match.end():])]


def doc_paths(root):
    ours = "|".join(map(re.escape, house.folders(root)))
    named = re.compile(rf"(?<![\w./~:<-])(?:\./)?((?:{ours})/"
                       r"[\w./{},*-]*[\w}*/])(?![\w<>])")
    for doc in DOCS:
        if not (root / doc).is_file():
            continue
        text = (root / doc).read_text()
        for number, line in enumerate(text.split("\n"), 1):
            for match in named.finditer(line):
                for spelling in _spellings(match.group(1).rstrip(".,/")):
                    # A unit is named without its ending: relay/forwarder. NAME
                    # stands for any.
                    if not any(True for end in ("", ".h", ".cc")
                               for _ in root.glob(
                                   re.sub(r"\b[A-Z]+(?=_|\b)(?!\.md)", "*",
                                          spelling) + end)):
                        yield Finding(doc, number, f"{spelling} does not exist")


def drop_reasons_tested(root):
    table = root / "relay/counters.def"
    if not table.is_file():
        return
    tests = "".join(
        house.code_only(p.read_text()) for p in house.files(root)
        if p.suffix in (".cc", ".h")
        and p.relative_to(root).parts[0] == "tests")
    for line, match in house.lines_matching(re.compile(r"^DROP\((\w+),"),
                                            table.read_text()):
        if not re.search(rf"\bk_{match.group(1)}\b", tests):
            yield Finding("relay/counters.def", line, "no test under tests/ "
                          f"names DropReason::k_{match.group(1)}")


def fuzzers_have_corpora(root):
    for path in sorted((root / "tests/fuzz").glob("*_fuzz.cc")):
        corpus = path.parent / "corpus" / path.name.removesuffix("_fuzz.cc")
        if not corpus.is_dir() or not any(corpus.iterdir()):
            yield Finding(str(path.relative_to(root)), 0, "give it inputs to "
                          f"start from in {corpus.relative_to(root)}/")


# Rules about the tree.
TREE_RULES = [listed_in_meson, doc_paths, drop_reasons_tested,
              fuzzers_have_corpora]


def check(root: pathlib.Path) -> list[Finding]:
    root = root.resolve()
    findings = []
    for path in house.files(root):
        name = str(path.relative_to(root))
        try:
            text = path.read_bytes().decode()
        except UnicodeDecodeError:
            findings.append(Finding(name, 0, "not UTF-8 text: data belongs "
                                    "under tests/data/"))
            continue
        code = house.code_only(text) if path.suffix in house.CODE else text
        for rule in FILE_RULES:
            findings += (Finding(name, *found)
                         for found in rule(name, text, code))
    for rule in TREE_RULES:
        findings += rule(root)
    return findings


def main() -> int:
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else
                        pathlib.Path(__file__).resolve().parent.parent)
    return house.report(check(root))


if __name__ == "__main__":
    sys.exit(main())
