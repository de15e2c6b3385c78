#!/usr/bin/env python3
"""phone_terminal_test.py BUILD [CASE...]: what sluicephone draws on a terminal.

Goal: while a call is up its last line tells how it goes; it is gone from where
other words come, and the table at the end stands alone.
Method: the phone runs on a pseudo terminal; all that it writes there is looked
at, and what one would see of it."""

import pathlib
import re
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import phone_world  # noqa: E402
import sip_phones  # noqa: E402
import terminal  # noqa: E402

LIVE = re.compile(r"\r\x1b\[K(established[^\r\n]*)")
WHOLE = re.compile(r"established, \d+ s, MOS (?P<mos>-|\d\.\d\d), lost 0 "
                   r"\(0\.0 %\), jitter \d+\.\d ms, (?P<in>\d+) in, "
                   r"(?P<out>\d+) out")


def drawn(text: str) -> list[str]:
    return LIVE.findall(text)


class TerminalTest(phone_world.Case):
    def calling(self, *words, columns: int = 200) -> terminal.Terminal:
        bob = self.phone("answer", "--leg", self.leg(), "--count", 1, "--tone",
                         1000)
        alice = terminal.Terminal(
            [self.build / "tools/sluicephone", "call", f"sip:bob@{bob.at()}",
             "--leg", self.leg(), "--tone", 440, *words], columns)
        self.addCleanup(alice.close)
        return alice

    def whole_call(self, *words, having: str = "established", lines: int = 2,
                   columns: int = 200) -> str:
        """All that it has drawn, with so many lines like that."""
        alice = self.calling(*words, columns=columns)
        # Behind the last of them another one has begun.
        alice.until(lambda text: sum(having in line for line in drawn(text)) >
                    lines, f"{lines} lines with \"{having}\"")
        alice.process.send_signal(signal.SIGINT)
        self.assertEqual(alice.ended(), 0, alice.text())
        return alice.text()

    def test_draws_how_a_call_goes(self):
        lines = drawn(self.whole_call())
        told = [WHOLE.fullmatch(line) for line in lines]
        self.assertNotIn(None, told, lines)
        for way in "in", "out":
            packets = [int(one[way]) for one in told]
            self.assertLess(packets[0], packets[-1])
        self.assertNotEqual(told[-1]["mos"], "-", lines)
        self.assertGreater(float(told[-1]["mos"]), 3)

    def test_shows_the_table_alone_at_the_end(self):
        text = self.whole_call("--hold-after", 0.3, "--duration", 60, "--trace",
                               having="established, held, ")
        lines = terminal.shown(text)
        for line in lines:
            self.assertNotIn(" in, ", line)
        self.assertRegex(lines[-3], r"^PEER +RESULT +SECONDS +SENT .* DTMF$")
        self.assertRegex(lines[-2], r"^to sip:bob@.* 200 OK .* PCMU ")
        self.assertEqual(lines[-1], "")

    def test_cuts_the_line_for_a_narrow_terminal(self):
        for line in drawn(self.whole_call(columns=30)):
            self.assertRegex(line, r"^established, \d+ s, MOS ")
            self.assertLess(len(line), 30)

    def test_draws_nothing_when_it_is_to_be_quiet(self):
        alice = self.calling("--duration", 1.5, "--quiet")
        self.assertEqual(alice.ended(), 0, alice.text())
        self.assertNotIn("\x1b", alice.text())
        self.assertNotIn("established", alice.text())
        self.assertRegex(alice.text(), "^PEER ")

    def test_draws_no_line_where_there_is_no_terminal(self):
        bob = self.phone("answer", "--leg", self.leg(), "--count", 1)
        alice = self.phone("call", f"sip:bob@{bob.at()}", "--leg", self.leg(),
                           "--duration", 1.5)
        alice.result()
        bob.result()
        for phone in alice, bob:
            self.assertIn("established, PCMU", phone.text())
            self.assertNotIn("\x1b", phone.text())
            self.assertNotIn("MOS", phone.text())


if __name__ == "__main__":
    sip_phones.main(__doc__)
