"""A chat on a terminal: editing, history, completion of commands and a status line through prompt_toolkit."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory
from rich.markup import escape
from rich.status import Status

from tinyllm.host.chat.screen import Commands
from tinyllm.host.output import Output
from tinyllm.text import printable


class TerminalScreen:
    """prompt_toolkit for input, the terminal itself for the answers."""

    def __init__(self, output: Output, commands: Commands, history: Path) -> None:
        self._output = output
        self._reading: Status | None = None
        self._session: PromptSession[str] = PromptSession(
            history=FileHistory(str(history)), completer=SlashCompleter(commands), complete_while_typing=True
        )

    def read(self, status: Callable[[], str]) -> str:
        return self._session.prompt("> ", bottom_toolbar=lambda: f" {status()} ")

    def reading(self, done: int, total: int) -> None:
        if self._reading is None:
            self._reading = self._output.stdout.status("")
            self._reading.start()
        self._reading.update(f"reading the prompt, {done} of {total} tokens")

    def write(self, text: str) -> None:
        if self._reading is not None:
            self._reading.stop()
            self._reading = None
        sys.stdout.write(printable(text))
        sys.stdout.flush()

    def end_answer(self) -> None:
        self.write("\n")

    def note(self, text: str) -> None:
        self._output.stdout.print(escape(text), style="dim")

    def confirm(self, question: str) -> bool:
        question_session: PromptSession[str] = PromptSession()
        try:
            return question_session.prompt(f"{question} [Y/n] ").strip().lower() in ("", "y", "yes")
        except (EOFError, KeyboardInterrupt):
            return False


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
