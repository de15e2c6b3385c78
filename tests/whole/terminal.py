"""A terminal for programs that draw on one."""

import fcntl
import os
import pathlib
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from waiting import PATIENCE_S  # noqa: E402

CLEARED = "\x1b[H\x1b[2J"
_TOKENS = re.compile(r"\x1b\[(?:H|2J|K)|[\r\n]|[^\x1b\r\n]+|\x1b")


class Terminal:
    """A process whose output goes to one. To be closed."""

    def __init__(self, command: list, columns: int = 200, **how):
        self._output = b""
        self._ours, theirs = pty.openpty()
        try:
            fcntl.ioctl(theirs, termios.TIOCSWINSZ,
                        struct.pack("4H", 24, columns, 0, 0))
            self.process = subprocess.Popen(
                list(map(str, command)), stdin=subprocess.DEVNULL,
                stdout=theirs, stderr=theirs, **how)
        except BaseException:
            os.close(self._ours)
            raise
        finally:
            os.close(theirs)

    def _more(self, until: float) -> bool:
        """False: it has ended."""
        left = max(until - time.monotonic(), 0)
        ready, _, _ = select.select([self._ours], [], [], left)
        assert left and ready, f"waited in vain: {self._output!r}"
        try:
            self._output += os.read(self._ours, 65536)
        except OSError:  # how Linux says that the other end is closed
            return False
        return True

    def text(self) -> str:
        return self._output.decode(errors="replace")

    def until(self, condition, what: str) -> None:
        """Of the text so far."""
        end = time.monotonic() + PATIENCE_S
        while not condition(self.text()):
            assert self._more(end), f"it ended without {what}: {self.text()!r}"

    def ended(self) -> int:
        """Its exit status, once it has ended by itself; the text is whole."""
        end = time.monotonic() + PATIENCE_S
        while self._more(end):
            pass
        return self.process.wait(PATIENCE_S)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)


def shown(output: str) -> list[str]:
    """The lines that one sees at the end, all the way up."""
    lines, at = [""], 0
    for token in _TOKENS.findall(output):
        if token == "\n":
            lines.append("")
        elif token == "\r":
            at = 0
        elif token == "\x1b[K":
            lines[-1] = lines[-1][:at]
        elif token == "\x1b[H":
            lines, at = [""], 0
        elif token == "\x1b[2J":
            pass  # the cursor is at the top already
        else:
            assert token != "\x1b", f"not known here: {output!r}"
            lines[-1] = lines[-1][:at].ljust(at) + token + \
                lines[-1][at + len(token):]
            at += len(token)
    return lines
