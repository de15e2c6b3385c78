#!/usr/bin/env python3
"""Each rule of tools/header_examples.py fires on a breach, at its line, and
what it writes points back into the header."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

import header_examples  # noqa: E402

GOOD = """\
// Example: hang up
//   bool over = false;
//   call->Bye([&] { over = true; });
//   ua->Loop({&over});
//
class Call : public X<Call> {
 public:
  enum class State { kA, kB };
  using Done = std::function<void(Call&)>;
  virtual ~Call() = default;
  explicit Call(int x) : x_(x) {}
  // Bye(): hangs up.
  virtual absl::Status Bye(Done done = {}) = 0;
  // Example: a state
  //   bool up = call->state(0) == 1;
  std::map<int, std::function<void(int)>> state(int x) const { return {}; }

 private:
  void Hidden() const;
  const std::function<void()> x_ = Made();
};
"""
STATE = "  //   bool up = call->state(0) == 1;\n"

# What of GOOD is replaced by what; the line and part of the message.
CASES = [
    (("", ""), None, None),
    (("Bye([&]", "Byes([&]"), 13, "Call::Bye is called by no example"),
    (("call->state(0)", "state(0)"), 16, "Call::state is called by no example"),
    (("  void Hidden", " public:\n  void Hidden"), 20,
     "Call::Hidden is called by no example"),
    (("class Call", "// Example: none\nclass Call"), 6,
     'example "none" is empty'),
    ((STATE, STATE + "  //   int x = 0;\n" * 14), 14,
     'example "a state" has 15 lines, 14 at most'),
    ((STATE, STATE + "  //   int x = 0;\n" * 13), None, None),
    (("Example: a state", "Example: Hang up!"), 14, "line 1 has one of that"),
]


def changed(change: tuple[str, str]) -> str:
    return GOOD.replace(*change, 1) if change[0] else GOOD


class HeaderExamplesTest(unittest.TestCase):
    def test_each_rule(self):
        for change, line, want in CASES:
            with self.subTest(change=change):
                text = changed(change)
                self.assertEqual(change[0] == "", text == GOOD)
                found = header_examples.check({"sip/call.h": text})
                if want is None:
                    self.assertEqual([], found)
                else:
                    self.assertEqual(1, len(found), found)
                    self.assertEqual(("sip/call.h", line), found[0][:2])
                    self.assertIn(want, found[0].message)

    def test_a_header_without_one_is_told(self):
        found = header_examples.check({"a.h": "struct A {};\n"})
        self.assertEqual(["a.h: has no example: a line `// Example: what it "
                          "shows`, its code indented below"],
                         [str(f) for f in found])

    def test_an_example_becomes_a_test_at_its_line(self):
        out = header_examples.tests({"../sip/call.h": GOOD}, "out.cc")
        lines = out.split("\n")
        at = lines.index("bool over = false;")
        self.assertEqual('#line 2 "../sip/call.h"', lines[at - 1])
        begins = [line for line in lines if line.startswith("TEST_F(")]
        self.assertEqual(["TEST_F(HeaderExample, CallHangUp) {",
                          "TEST_F(HeaderExample, CallAState) {"], begins)
        # The line after a #line back into the .cc is the one it says.
        for number, line in enumerate(lines, 1):
            if line.endswith('"out.cc"'):
                self.assertEqual(f'#line {number + 1} "out.cc"', line)
        self.assertIn('  Judge("over", over);', lines)
        self.assertIn('  Begin(ua.get(), {"Bye", "Loop"});', lines)

    def test_what_an_example_does_not_declare_is_made(self):
        def made(code):
            text = "// Example: x\n" + "".join(f"//   {c}\n" for c in code)
            out = header_examples.tests({"a.h": text}, "out.cc")
            return [n for n, how in header_examples.NAMES.items() if how in out]
        self.assertEqual(["ua", "call"], made(["call->Bye();"]))
        self.assertEqual(["ua"], made(["ua->F([](Call& call) { call.Bye(); })"]))
        self.assertEqual([], made(["const auto ua = Made();", "ua->F();"]))
        self.assertEqual(["server"], made(["server->Loop();"]))

    def test_addresses_and_files_become_the_fixtures(self):
        text = ('// Example: x\n//   F("192.0.2.10", "hello.wav", "example.com")'
                ';\n')
        out = header_examples.tests({"a.h": text}, "out.cc")
        self.assertIn('F(Here("192.0.2.10"), Here("hello.wav"), "example.com");',
                      out)


if __name__ == "__main__":
    unittest.main()
