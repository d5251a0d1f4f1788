"""A command on a pseudo-terminal, driven by keys and read as a person would."""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if sys.platform != "win32":
    import fcntl
    import pty
    import termios

TINYLLM = [sys.executable, "-m", "tinyllm.host.cli.app"]
PATIENCE = 120.0
"""Seconds until a text that does not come is missed: a test may share a slow computer with many others."""
CURSOR_ASKED, CURSOR_TOLD = "\x1b[6n", "\x1b[10;1R"
CONTROLS = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-Z\\^_])")


class Terminal:
    """A command with a controlling terminal of its own, which turns the byte 0x03 into a signal.

    raw: all that came so far. everything: the same without control sequences. seen: of that what wait_for has not
    passed.
    """

    def __init__(self, command: Sequence[str | Path], columns: int = 120, **environment: str) -> None:
        self.keys, screen = pty.openpty()
        self.resize(columns)
        self.settings_before = self.settings()
        self.process = subprocess.Popen(
            command,
            stdin=screen,
            stdout=screen,
            stderr=screen,
            env=os.environ | {"TERM": "xterm"} | environment,
            preexec_fn=_own_terminal,
        )
        self._screen = screen  # Stays open, so that the settings can be looked at after the command has ended.
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._begun = ""  # A control sequence whose end has not come.
        self.seen = self.everything = self.raw = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.keys)
        os.close(self._screen)

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self.keys, termios.TIOCSWINSZ, struct.pack("4H", 40, columns, 0, 0))

    def settings(self) -> list[Any]:
        """What tcgetattr says of the terminal."""
        return termios.tcgetattr(self.keys)

    @property
    def echoes(self) -> bool:
        return bool(self.settings()[3] & termios.ECHO)

    def type(self, keys: str) -> None:
        os.write(self.keys, keys.encode())

    def wait_for(self, pattern: str, seconds: float = PATIENCE) -> str:
        """Wait until the pattern appears in the text that comes from now on; the text that came before it."""
        deadline = time.monotonic() + seconds
        while not (match := re.search(pattern, self.seen, re.DOTALL)):
            assert time.monotonic() < deadline, f"{pattern!r} did not appear in {self.seen!r}"
            assert self._read() or self.process.poll() is None, f"{pattern!r} did not appear in {self.seen!r}"
        before, self.seen = self.seen[: match.start()], self.seen[match.end() :]
        return before

    def ended(self, seconds: float = PATIENCE) -> int:
        """The exit code, once the process has ended."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"still running after {self.seen!r}"
            self._read()
        while self._read():
            pass
        return self.process.returncode

    def _read(self) -> bool:
        """Take what is there; answer as a terminal does if it is asked where the cursor is."""
        if not select.select([self.keys], [], [], 0.1)[0]:
            return False
        came = self._decode(os.read(self.keys, 4096))
        self.raw += came
        shown = self._begun + came
        for _ in range(shown.count(CURSOR_ASKED)):
            self.type(CURSOR_TOLD)
        shown = CONTROLS.sub("", shown)
        whole, escape, begun = shown.partition("\x1b")
        self._begun = escape + begun
        text = re.sub("\r+\n", "\n", whole)
        self.seen += text
        self.everything += text
        return True

    def screen(self) -> list[str]:
        """The lines that stand on the screen now, after what was erased and written over."""
        lines, row, column = [""], 0, 0
        for control, character in re.findall(rf"({CONTROLS.pattern})|(.)", self.raw, re.DOTALL):
            count = int(digits[0]) if (digits := re.findall(r"\d+", control)) else 1
            if control.endswith("A"):
                row = max(row - count, 0)
            elif control.endswith("K"):
                lines[row] = "" if count == 2 else lines[row][:column]
            elif character == "\n":
                row += 1
                lines += [""] if row == len(lines) else []
            elif character == "\r":
                column = 0
            elif character:
                lines[row] = lines[row].ljust(column)[:column] + character + lines[row][column + 1 :]
                column += 1
        return lines


def _own_terminal() -> None:
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
