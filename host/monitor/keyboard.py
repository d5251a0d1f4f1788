"""Input typed or piped into a monitor; Ctrl-C, Ctrl-S and Ctrl-Z are bytes like any other."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator

try:
    import termios
except ImportError:
    termios = None  # type: ignore[assignment]

if sys.platform == "win32":
    import msvcrt

Take = Callable[[bytes], None]
PIECE = 1024
FUNCTION_KEYS = "\x00\xe0"
"""Prefixes of the codes of keys that are no characters, on Windows."""


@contextlib.contextmanager
def keyboard(take: Take) -> Iterator[None]:
    """Give `take` the bytes of stdin, from a thread; the terminal's settings are restored when the context ends.

    The end of a pipe ends the input and nothing else.
    """
    if sys.stdin is None or sys.stdin.closed:
        yield
        return
    read = _read_console if sys.platform == "win32" and sys.stdin.isatty() else _read_stdin
    with _raw_terminal():
        threading.Thread(target=read, args=(take,), daemon=True).start()
        yield


@contextlib.contextmanager
def _raw_terminal() -> Iterator[None]:
    """Make the terminal pass on every key at once and echo nothing; line ends of output stay as they are."""
    if termios is None or not sys.stdin.isatty():
        yield
        return
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    iflag, oflag, cflag, lflag, ispeed, ospeed, characters = termios.tcgetattr(terminal)
    iflag &= ~(termios.ICRNL | termios.INLCR | termios.IGNCR | termios.IXON)
    lflag &= ~(termios.ICANON | termios.ECHO | termios.ISIG | termios.IEXTEN)
    characters[termios.VMIN], characters[termios.VTIME] = 1, 0
    termios.tcsetattr(terminal, termios.TCSADRAIN, [iflag, oflag, cflag, lflag, ispeed, ospeed, characters])
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _read_stdin(take: Take) -> None:
    """Read a pipe to its end."""
    with contextlib.suppress(OSError, ValueError):
        while data := os.read(sys.stdin.fileno(), PIECE):
            take(data)


def _read_console(take: Take) -> None:
    """Keys of a Windows console, as UTF-8."""
    if sys.platform == "win32":
        while True:
            key = msvcrt.getwch()
            if key in FUNCTION_KEYS:
                msvcrt.getwch()
            else:
                take(key.encode("utf-8", "surrogatepass"))
