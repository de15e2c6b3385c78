#!/usr/bin/env python3
"""The examples in headers, as tests: what a comment shows compiles and runs.

  header_examples.py --out TEST.cc HEADER...    writes the tests
  header_examples.py --check HEADER...          only says what is wrong

An example is a comment like this one; it ends at the first line that is not
indented so:

  // Example: hang up
  //   bool over = false;
  //   call->Bye([&](Call&, const CallResult&) { over = true; });
  //   ua->Loop(Micros::Seconds(10), {&over});

It becomes a TEST_F of HeaderExample (tests/sip/header_examples.h):

- What it uses and does not declare is made before it: NAMES.
- Addresses of documentation (RFC 5737) and files in its literals become the
  fixture's own: "192.0.2.10" is written as Here("192.0.2.10").
- What it declares at its outermost level is judged at its end: a bool is to be
  true, a Status or StatusOr to be ok (one called `why` not to be).
- The functions that it calls and the fields that it sets are told to the
  fixture, which has seen the messages that they stand for.

Exit 1 and one line a finding when an example is empty or longer than LINES_MAX,
when two have one title, or when a public function of a class in a header is
called by no example of that header.
"""

import argparse
import pathlib
import re
import sys
from typing import NamedTuple

import house
from house import Finding

LINES_MAX = 14

# What the examples have without saying so, and how it is made: in this order.
NAMES = {
    "server": "const std::unique_ptr<Simple> server = Server();",
    "ua": "const std::unique_ptr<Simple> ua = Phone();",
    "call": "const std::shared_ptr<Call> call = CallUp(*ua);",
}
NEEDS = {"call": "ua"}

_TITLE = re.compile(r"\s*// Example: (.*\S)\s*$")
_CODE = re.compile(r"\s*//   (.*)$")
_LITERAL = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_OURS = re.compile(r"\b(?:192\.0\.2|198\.51\.100|203\.0\.113)\.\d+"
                   r'|\.(?:wav|pcmu|pcma|txt|db)"')
_DECLARED = re.compile(r"(?:const )?(?:auto|bool|int|[\w:]+(?:<[\w:<>]+>)?)"
                       r"&? (\w+)(?: = |\()")
_WORDS = re.compile(r"(?:\.|->|::)(\w+)")


class Example(NamedTuple):
    path: str
    line: int  # of its first line of code
    title: str
    lines: list[str]

    @property
    def name(self) -> str:
        stem = pathlib.Path(self.path).stem
        words = re.findall(r"[A-Za-z0-9]+", f"{stem} {self.title}")
        return "".join(w[0].upper() + w[1:] for w in words)


def examples(path: str, text: str) -> list[Example]:
    found = []
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        title = _TITLE.match(line)
        if not title:
            continue
        code = []
        for below in lines[number:]:
            match = _CODE.match(below)
            if not match:
                break
            code.append(match.group(1))
        found.append(Example(path, number + 1, title.group(1), code))
    return found


def _class_bodies(code: str):
    """(name, text between its braces, where that begins) of classes that stand
    in a namespace or alone."""
    for match in re.finditer(r"\bclass (\w+)[^;{()]*\{", code):
        depth, at = 1, match.end()
        while depth and at < len(code):
            depth += {"{": 1, "}": -1}.get(code[at], 0)
            at += 1
        yield match.group(1), code[match.end():at - 1], match.end()


def public_functions(text: str) -> list[tuple[int, str, str]]:
    """(line, class, function) of what the classes of a header let others call.
    A class within a class is passed over, as are operators."""
    code = house.code_only(text)
    out, seen = [], set()
    for name, body, begin in _class_bodies(code):
        public, statement, start = False, "", 0
        braces = parens = 0
        for at, c in enumerate(body + ";"):
            if c in "()":
                parens += 1 if c == "(" else -1
            if c in "{}" and parens == 0:
                braces += 1 if c == "{" else -1
            if braces or c == "}" and parens == 0:
                if c == "}" and braces == 0 and "(" in statement:
                    c = ";"  # a body is the end of its function
                else:
                    continue
            label = re.fullmatch(r"\s*(public|protected|private)\s*",
                                 statement)
            if c == ":" and label:
                public, statement = label.group(1) == "public", ""
                continue
            if c != ";" or parens:
                start = start if statement.strip() else at
                statement += c
                continue
            function = _function(statement)
            if public and function and function != name:
                place = (name, function)
                if place not in seen:
                    seen.add(place)
                    line = code.count("\n", 0, begin + start) + 1
                    out.append((line, *place))
            statement = ""
    return out


def _function(statement: str) -> str:
    """The name that a declaration declares; "" for what is no function."""
    if re.match(r"\s*(?:using|friend|struct|class|enum)\b", statement) or \
            "operator" in statement:
        return ""
    angles = 0
    for at, c in enumerate(statement):
        angles += {"<": 1, ">": -1}.get(c, 0)
        if c == "(" and angles == 0:
            match = re.search(r"(~?)(\w+)\s*$", statement[:at])
            return "" if not match or match.group(1) else match.group(2)
        if c == "=" and angles == 0:
            return ""
    return ""


def check(headers: dict[str, str]) -> list[Finding]:
    found, names = [], {}
    for path, text in headers.items():
        here = examples(path, text)
        if not here:
            found.append(Finding(path, 0, "has no example: a line "
                                 "`// Example: what it shows`, its code "
                                 "indented below"))
        for e in here:
            if not any(line.strip() for line in e.lines):
                found.append(Finding(path, e.line - 1, f'example "{e.title}" '
                                     "is empty: its code stands below, "
                                     "indented by two more than the title"))
            if len(e.lines) > LINES_MAX:
                found.append(Finding(path, e.line - 1, f'example "{e.title}" '
                                     f"has {len(e.lines)} lines, {LINES_MAX} "
                                     "at most: show one thing"))
            if e.name in names:
                found.append(Finding(path, e.line - 1, f'example "{e.title}": '
                                     f"{names[e.name]} has one of that title; "
                                     "call it otherwise"))
            names[e.name] = f"line {e.line - 1}"
        shown = "\n".join("\n".join(e.lines) for e in here)
        for line, owner, function in public_functions(text):
            if not re.search(rf"(?:\.|->|::){function}\(", shown):
                found.append(Finding(path, line, f"{owner}::{function} is "
                                     "called by no example of this header: "
                                     "add one of about ten lines"))
    return found


def _test(e: Example) -> str:
    text = "\n".join(e.lines)
    code = house.code_only(text)
    declared = [m.group(1) for line in code.split("\n")
                if (m := _DECLARED.match(line))]
    # A name may also be a parameter of a callback.
    needed = [n for n in NAMES if re.search(rf"\b{n}\b", code)
              and not re.search(rf"(?:\bauto&?|\w&|>&?) {n}\b", code)]
    needed += [NEEDS[n] for n in needed
               if n in NEEDS and NEEDS[n] not in needed + declared]
    words = sorted(set(_WORDS.findall(code)))
    out = [f"TEST_F(HeaderExample, {e.name}) {{"]
    out += [f"  {NAMES[n]}" for n in NAMES if n in needed]
    begin = ", ".join(f'"{w}"' for w in words)
    agent = next((f"{n}.get()" for n in ("server", "ua") if n in needed),
                 "nullptr")
    out.append(f"  Begin({agent}, {{{begin}}});")
    shown = _LITERAL.sub(lambda m: f"Here({m.group()})"
                         if _OURS.search(m.group()) else m.group(), text)
    out.append(f'#line {e.line} "{e.path}"')
    out += shown.split("\n")
    out.append("#line LINE OUT")
    out += [f'  Judge("{n}", {n});' for n in declared]
    # Callbacks may write to what the example has declared.
    out += [f"  {n}->Cleanup();" for n in NAMES
            if n in needed and n != "call"]
    out += ["  End();", "}", ""]
    return "\n".join(out)


def tests(headers: dict[str, str], out: str) -> str:
    """The .cc: compile errors within an example point into its header."""
    lines = ["// Made by tools/header_examples.py.",
             '#include "tests/sip/header_examples.h"', "",
             "// An example looks at errors once, in the first.",
             '#pragma GCC diagnostic ignored "-Wunused-result"', "",
             "namespace sluice::sip {", "namespace {", ""]
    for path, text in headers.items():
        for e in examples(path, text):
            lines += _test(e).split("\n")
    lines += ["}  // namespace", "}  // namespace sluice::sip", ""]
    return "\n".join(f'#line {number + 1} "{out}"'
                     if line == "#line LINE OUT" else line
                     for number, line in enumerate(lines, 1))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", metavar="TEST.cc")
    what.add_argument("--check", action="store_true")
    parser.add_argument("headers", nargs="+", metavar="HEADER")
    args = parser.parse_args()
    headers = {h: pathlib.Path(h).read_text() for h in args.headers}
    status = house.report(check(headers))
    if status == 0 and args.out:
        pathlib.Path(args.out).write_text(tests(headers, args.out))
    return status


if __name__ == "__main__":
    sys.exit(main())
