"""Where a chat is read and shown: a terminal with completion and a status line, or plain lines through pipes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Protocol, TextIO

from tinyllm.cache_folder import home
from tinyllm.host.output import Output
from tinyllm.text import printable

Commands = dict[str, str]
"""Name, with its slash -> what it does."""


class Screen(Protocol):
    """What a chat needs of the world."""

    def read(self, status: Callable[[], str]) -> str:
        """The next line; EOFError at the end of input, KeyboardInterrupt on a Ctrl-C that does not mean the end."""

    def reading(self, done: int, total: int) -> None:
        """How many tokens of the prompt the board has read, before the answer begins."""

    def write(self, text: str) -> None:
        """A piece of the answer, as it comes."""

    def end_answer(self) -> None:
        """The answer is complete."""

    def note(self, text: str) -> None:
        """A line from the program itself, apart from the answer."""

    def confirm(self, question: str) -> bool:
        """Yes or no; yes where nobody can be asked."""


def open_screen(output: Output, commands: Commands) -> Screen:
    """A terminal where stdin and stdout are one; else plain lines, the answers on stdout (with --json on stderr)."""
    if sys.stdin.isatty() and sys.stdout.isatty() and not output.as_json:
        # Imported where it is needed, for pipes and programs start faster without it.
        from tinyllm.host.chat.terminal_screen import TerminalScreen

        return TerminalScreen(output, commands, home() / "chat_history")
    return LineScreen(output, sys.stdin, sys.stderr if output.as_json else sys.stdout)


class LineScreen:
    """Lines in, text out; notes go to stderr."""

    def __init__(self, output: Output, source: TextIO, answers: TextIO) -> None:
        self._output, self._source, self._answers = output, source, answers

    def read(self, status: Callable[[], str]) -> str:
        try:
            line = self._source.readline()
        except KeyboardInterrupt:
            line = ""
        if not line:
            raise EOFError
        return line.rstrip("\r\n")

    def reading(self, done: int, total: int) -> None:
        """Shown on a terminal only."""

    def write(self, text: str) -> None:
        self._answers.write(printable(text) if self._answers.isatty() else text)
        self._answers.flush()

    def end_answer(self) -> None:
        self.write("\n")

    def note(self, text: str) -> None:
        self._output.note(text)

    def confirm(self, question: str) -> bool:
        self.note(f"{question} yes (nobody to ask)")
        return True
