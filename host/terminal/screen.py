"""The interface of a chat's screen, and the screen for pipes: plain lines in, text out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TextIO

from tinyllm.host import layout
from tinyllm.host.output import Output
from tinyllm.host.terminal.answer_text import AnswerText

Commands = dict[str, str]
"""The commands: name with its slash -> description."""

PROMPT = "> "
MORE = ". "
"""The prompt for the lines of a text after its first."""


class Screen(Protocol):
    """Reads a chat's lines and shows its answers."""

    def read(self, status: Callable[[], str], prompt: str = PROMPT) -> str:
        """The next line. Raises EOFError at the end of input, KeyboardInterrupt on a Ctrl-C that does not end the chat.

        status: gives the text of the status line.
        """

    def working(self, what: str) -> None:
        """Show the board's progress until another method is called."""

    def write(self, text: str) -> None:
        """Show a piece of the answer at once."""

    def end_answer(self) -> None:
        """Called when the answer is complete."""

    def note(self, text: str) -> None:
        """Show a line from the program itself, apart from the answer."""

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """Show a table from the program itself, such as the commands with their meanings."""

    def confirm(self, question: str) -> bool:
        """Ask a yes-or-no question. True if nobody can be asked."""


class LineScreen:
    """Lines in, text out; notes go to stderr."""

    def __init__(self, output: Output, source: TextIO, answers: TextIO) -> None:
        self._output, self._source, self._answer = output, source, AnswerText(answers)

    def read(self, status: Callable[[], str], prompt: str = PROMPT) -> str:
        try:
            line = self._source.readline()
        except (KeyboardInterrupt, OSError):
            line = ""
        if not line:
            raise EOFError
        return line.rstrip("\r\n")

    def working(self, what: str) -> None:
        """Shows nothing: only a terminal shows progress."""

    def write(self, text: str) -> None:
        self._answer.write(text)

    def end_answer(self) -> None:
        self._answer.end()

    def note(self, text: str) -> None:
        self._output.note(text)

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        self._output.note("\n".join(layout.table(["", ""], rows, None)[1]))

    def confirm(self, question: str) -> bool:
        self.note(f"{question} yes (nobody to ask)")
        return True
