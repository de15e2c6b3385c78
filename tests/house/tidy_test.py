#!/usr/bin/env python3
"""Each rule of tools/check_tidy.py fires on a breach, at its line, and not on
the lawful form beside it."""

import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

import check_tidy  # noqa: E402

GOOD_HEADER = """\
#ifndef SLUICE_BASE_A_H_
#define SLUICE_BASE_A_H_
#endif  // SLUICE_BASE_A_H_
"""
MARK = "TO" "DO"  # in halves: this file is checked too

# {path: text}, part of the message (None: lawful)
CASES = [
    ({"base/a.h": GOOD_HEADER}, None),
    ({"base/a.h": GOOD_HEADER.replace("BASE_A", "BASE_B")},
     "guard is to be SLUICE_BASE_A_H_"),
    ({"base/a.h": "#pragma once\n"}, "guard is to be SLUICE_BASE_A_H_"),
    ({"base/a.h": GOOD_HEADER.replace("  // SLUICE_BASE_A_H_", "")},
     "the last line is to be"),
    ({"base/a.h": GOOD_HEADER.replace("#endif", "using namespace std;\n#endif")
      }, "`using namespace` in a header"),
    ({"x.py": f"# {MARK}: later\n"}, MARK),
    ({"x.py": "# a Todo list, xxx\n"}, None),
    ({"x.sh": "cd /home" "/me/x\n"}, "one machine's path"),
    ({"x.sh": "cd /work" "/main\n"}, "one machine's path"),
    ({"x.sh": "cd $x/work" "/main ./home" "/a\n"}, None),
    ({"x.py": "a \n"}, "white space at the end"),
    ({"x.py": "a\r\n"}, "white space at the end"),
    ({"x.py": "a"}, "no newline at the end"),
    ({"x.py": "a\n" * 701}, "701 lines, 700 at most"),
    ({"x.py": "a\n" * 700}, None),
    ({"LICENSE": "a\n" * 701}, None),
    ({"base/b.cc": "\tint x;\n"}, "a tab"),
    ({"base/b.cc": "strcpy(a, b);\n"}, "strcpy: no bound"),
    ({"base/b.cc": "std::sprintf(a, b);\n"}, "sprintf: no bound"),
    ({"base/b.cc": "std::snprintf(a, 3, b);\n"}, None),
    ({"base/b.cc": "strtok(a, b);\n"}, "absl::StrSplit"),
    ({"base/b.cc": "int i = std::atoi(x);\n"}, "absl::SimpleAtoi"),
    ({"base/b.cc": "int i = std::stoi(x);\n"}, "absl::SimpleAtoi"),
    ({"tests/base/b.h": GOOD_HEADER.replace("BASE_A", "TESTS_BASE_B").replace(
        "#endif", "int i = std::stoi(x);\n#endif")}, None),
    ({"base/b.cc": "int i = rand();\n"}, "getrandom"),
    ({"base/b.cc": "inet_ntoa(a);\n"}, "IpAddress::Parse"),
    ({"base/b.cc": "gmtime(&t); \n".replace("; \n", ";\n")}, "_r form"),
    ({"base/b.cc": "gmtime_r(&t, &tm);\n"}, None),
    ({"base/b.cc": "system(x);\n"}, "a shell"),
    ({"base/b.cc": "std::error_code c = clock.system(x);\n"}, None),
    ({"base/b.cc": "assert(x);\n"}, "base/check.h"),
    ({"base/b.cc": "static_assert(x);\n"}, None),
    ({"base/b.cc": "o << std::endl;\n"}, "flushing"),
    ({"base/b.cc": "std::regex r;\n"}, "scanner"),
    ({"base/b.cc": "std::cout << 1;\n"}, "the mains print"),
    ({"base/b.cc": "throw 1;\n"}, "absl::Status"),
    ({"base/b.cc": "// we throw it away\n"}, None),
    ({"base/b.cc": 'Log("throw", R"(throw)", 1\'000);\n'}, None),
    ({"base/b.cc": "int n = 1'000; throw 2'000;\n"}, "absl::Status"),
    ({"base/b.cc": "char c = '\"'; throw c;\n"}, "absl::Status"),
    ({"tests/base/b_test.cc": "std::this_thread::sleep_for(x);\n"},
     "wait for the condition"),
    ({"tests/base/b_test.cc":
      "std::this_thread::sleep_for(std::chrono::microseconds(100));\n"}, None),
    ({"tests/base/b_test.cc": "throw std::bad_alloc();\n"}, None),
    ({"tests/base/b_test.cc": "usleep(5);\n"}, "wait for the condition"),
    ({"relay/b.cc": "spdlog::info(x);\n"}, "nothing is logged"),
    ({"relay/b.cc": "std::map<int, int> m;\n"}, "base/slot_map.h"),
    ({"base/b.cc": "std::map<int, int> m;\n"}, None),
    ({"base/b.cc": "void* p = NULL;\n"}, "nullptr"),
    ({"base/dead.cc": "int x;\n"}, "no meson.build names it"),
    ({"tests/base/dead_test.cc": "int x;\n"}, "no meson.build names it"),
    ({"base/net/b.cc": "int x;\n"}, None),
    ({"README.md": "see `base/gone.cc`\n"}, "base/gone.cc does not exist"),
    ({"README.md": "see base/{b,gone}.cc.\n"}, "base/gone.cc does not exist"),
    ({"README.md": "see base/b.cc, base/net/*.cc, build/tools/x, /base/x,"
      " https://host/base/x\n", "base/net/b.cc": ""}, None),
    ({"CONTRIBUTING.md": "base/b, base/, base/NAME.cc\n"}, None),
    ({"CONTRIBUTING.md": "base/NAME_no.cc\n"}, "base/NAME_no.cc does not"),
    ({"ARCHITECTURE.md": "tools/dev-gone\n"}, "does not exist"),
    ({"relay/counters.def": "DROP(lost, \"x\")\n"},
     "no test under tests/ names DropReason::k_lost"),
    ({"relay/counters.def": "DROP(lost, \"x\")\n",
      "tests/base/b_test.cc": "Drop(DropReason::k_lost);\n"}, None),
    ({"relay/counters.def": "DROP(lost, \"x\")\n",
      "tests/base/b_test.cc": "// k_lost, k_lost_not\n"}, "k_lost"),
    ({"tests/fuzz/a_fuzz.cc": ""}, "tests/fuzz/corpus/a/"),
    ({"tests/fuzz/a_fuzz.cc": "", "tests/fuzz/corpus/a/1": " \r\n"}, None),
]


class TidyTest(unittest.TestCase):
    def findings(self, tree):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            meson = {"base/meson.build": "'b.cc', 'net/b.cc'\n",
                     "relay/meson.build": "'b.cc'\n", "tools/meson.build": "\n",
                     "tests/base/meson.build": "'b'\n",
                     "tests/fuzz/meson.build": "'a'\n",
                     "base/b.cc": "int x;\n"}
            for path, text in (meson | tree).items():
                file = root / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(text.encode())
            return check_tidy.check(root)

    def test_each_rule(self):
        for tree, want in CASES:
            with self.subTest(tree=tree):
                found = self.findings(tree)
                if want is None:
                    self.assertEqual([], found)
                else:
                    self.assertEqual(1, len(found), found)
                    self.assertIn(want, found[0].message)

    def test_a_finding_names_file_and_line(self):
        found = self.findings({"base/b.cc": "/* a\n b */\nthrow 1;\n"})
        self.assertEqual([("base/b.cc", 3)], [f[:2] for f in found])

    def test_every_rule_has_a_case_that_fires(self):
        seen = set()
        for tree, want in CASES:
            if want is not None:
                seen.update(f.message for f in self.findings(tree))
        for _, _, remedy in check_tidy.BANNED_CALLS:
            self.assertTrue(any(remedy in m for m in seen), remedy)

    def test_builds_and_hidden_folders_are_not_ours(self):
        self.assertEqual([], self.findings(
            {"build-x/a.py": "a \n", ".git/a.py": "a \n",
             "mine/meson-private/x": "a \n", "base/__pycache__/a.py": "a \n",
             "tests/data/a.msg": "a \r\n"}))


if __name__ == "__main__":
    unittest.main()
