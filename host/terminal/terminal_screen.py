"""A chat's screen on a terminal: prompt_toolkit gives editing, history, completion of commands and a status line."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory
from rich.markup import escape
from rich.status import Status

from tinyllm.host.output import Output
from tinyllm.host.terminal.answer_text import AnswerText
from tinyllm.host.terminal.screen import PROMPT, Commands

YES, NO = ("", "y", "yes"), ("n", "no")


class TerminalScreen:
    """prompt_toolkit for input, the terminal itself for the answers."""

    def __init__(self, output: Output, commands: Commands, history: Path | None) -> None:
        """history: the file that keeps the typed lines for the next chat; None keeps them for this chat only."""
        self._output = output
        self._answer = AnswerText(sys.stdout)
        self._working: Status | None = None
        self._kept = ""
        self._session: PromptSession[str] = PromptSession(
            history=LenientHistory(str(history)) if history else None,
            completer=SlashCompleter(commands),
            complete_while_typing=True,
        )

    def read(self, status: Callable[[], str], prompt: str = PROMPT) -> str:
        self._stop_working()
        kept, self._kept = self._kept, ""
        return self._session.prompt(prompt, bottom_toolbar=lambda: f" {status()} ", default=kept)

    def working(self, what: str) -> None:
        if self._working is None:
            self._working = self._output.stdout.status("")
            self._working.start()
        self._working.update(escape(what))

    def write(self, text: str) -> None:
        self._stop_working()
        self._answer.write(text)

    def end_answer(self) -> None:
        self._stop_working()
        self._answer.end()

    def note(self, text: str) -> None:
        self._stop_working()
        self._output.line(text, style="dim")

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        self._stop_working()
        self._output.table(["", ""], rows, wraps=[""])

    def confirm(self, question: str) -> bool:
        """Ask until the answer is yes or no. Any other text is kept for the next prompt."""
        self._stop_working()
        asking: PromptSession[str] = PromptSession()
        try:
            while (said := asking.prompt(f"{question} [Y/n] ").strip()).lower() not in (*YES, *NO):
                self._kept = said
                self.note("Answer y or n first; what you typed is kept for the next prompt.")
        except (EOFError, KeyboardInterrupt):
            return False
        return said.lower() in YES

    def _stop_working(self) -> None:
        if self._working is not None:
            self._working.stop()
            self._working = None


class LenientHistory(FileHistory):
    """A history that ignores an unreadable file or a full disk: the chat goes on."""

    def load_history_strings(self) -> Iterable[str]:
        with contextlib.suppress(OSError):
            yield from super().load_history_strings()

    def store_string(self, string: str) -> None:
        with contextlib.suppress(OSError):
            super().store_string(string)


class SlashCompleter(Completer):
    """Completes the name of a command at the start of the line."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        start = document.text_before_cursor
        if start.startswith("/") and " " not in start:
            for name, meaning in self._commands.items():
                if name.startswith(start):
                    yield Completion(name, start_position=-len(start), display_meta=meaning)
