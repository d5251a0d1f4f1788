"""Keeps keys that are typed during an answer from being echoed into it; they wait for the next prompt."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

try:
    import termios
except ImportError:  # Windows, whose console echoes a key only while a program reads it.
    termios = None  # type: ignore[assignment]

LOCAL_FLAGS = 3
"""Index of c_lflag in the list that tcgetattr returns."""


@contextmanager
def quiet_keyboard() -> Iterator[None]:
    """Turn the echo off. Ctrl-C stays a signal. However the context ends, the terminal's settings are restored.

    Ctrl-Z restores them until the shell continues us. SIGTERM and SIGHUP become SystemExit, so that they leave the
    context. Does nothing on Windows. Does nothing if standard input or output is no terminal: a pager that reads our
    output may use the keyboard itself.
    """
    if termios is None or not (sys.stdin.isatty() and sys.stdout.isatty()):
        yield
        return
    found = termios.tcgetattr(sys.stdin)

    def suspend(number: int, frame: FrameType | None) -> None:
        ours = termios.tcgetattr(sys.stdin)
        _apply(found)
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)  # Stops here, until the shell continues us.
        signal.signal(signal.SIGTSTP, suspend)
        _apply(ours)

    def end(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    handlers = {signal.SIGTSTP: suspend, signal.SIGTERM: end, signal.SIGHUP: end}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        _apply(_without_echo(found))
        yield
    finally:
        _apply(found)
        for number, handler in before.items():
            signal.signal(number, handler)


def _without_echo(settings: list[Any]) -> list[Any]:
    """The settings without ECHO and ICANON, so that keys arrive before Enter. NOFLSH: Ctrl-C keeps the typed keys."""
    local = settings[LOCAL_FLAGS] & ~(termios.ECHO | termios.ICANON) | termios.NOFLSH
    return [*settings[:LOCAL_FLAGS], local, *settings[LOCAL_FLAGS + 1 :]]


def _apply(settings: list[Any]) -> None:
    """Set the terminal if it is there and we are in its foreground: in the background the kernel would stop us."""
    with contextlib.suppress(OSError, termios.error):
        if os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp():
            termios.tcsetattr(sys.stdin, termios.TCSANOW, settings)
