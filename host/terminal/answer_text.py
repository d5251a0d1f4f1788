"""Writes the text of an answer to a stream, piece by piece."""

from __future__ import annotations

import os
from typing import TextIO

from tinyllm.host.terminal.word_wrap import WordWrap
from tinyllm.text import printable

COLUMNS = 80
"""Width of a terminal that does not report its own."""


class AnswerText:
    """Writes an answer. A terminal gets it word-wrapped and without control characters, a pipe or file unchanged."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._on_terminal = stream.isatty()
        self._wrap = WordWrap()

    def write(self, text: str) -> None:
        """Show a piece of the answer at once."""
        if self._on_terminal:
            text = self._wrap.feed(printable(text), terminal_columns(self._stream))
        self._stream.write(text)
        self._stream.flush()

    def end(self) -> None:
        """End the line; the next answer begins a new one."""
        self.write("\n")


def terminal_columns(stream: TextIO) -> int:
    """The terminal's width in columns now."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or COLUMNS
    except OSError:
        return COLUMNS
