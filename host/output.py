"""What a verb shows: one JSON document or plain words on stdout, everything about the work itself on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from tinyllm.text import holds_surrogates, printable

WIDE = 200
"""Columns if stdout is no terminal, so that nothing is folded or cut."""


class Report(Protocol):
    """Takes how much is done, and of how much."""

    def __call__(self, done: int, total: int) -> None: ...


class Output:
    """Where a verb writes; colours and progress appear only on a terminal."""

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json
        self.stderr = Console(stderr=True, highlight=False)
        self.stdout = Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)

    def document(self, document: dict[str, Any]) -> None:
        """The one JSON document of a verb; spread over lines for a reader, on one line for a program."""
        indent = 2 if sys.stdout.isatty() else None
        text = json.dumps(document, indent=indent, ensure_ascii=False, default=str)
        if holds_surrogates(text):  # of a path that is not UTF-8: only escapes keep it as it is
            text = json.dumps(document, indent=indent, default=str)
        sys.stdout.write(f"{text}\n")

    def note(self, text: str, style: str = "dim") -> None:
        """A line about the work, on stderr."""
        self.stderr.print(escape(printable(text)), style=style, soft_wrap=True)

    def error(self, text: str) -> None:
        """What went wrong, on stderr."""
        self.stderr.print(f"[bold red]error:[/] {escape(printable(text))}", soft_wrap=True)

    def line(self, text: str, style: str = "") -> None:
        """A line of the result, on stdout."""
        self.stdout.print(escape(printable(text)), style=style, soft_wrap=True)

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Aligned columns on stdout; no header line if all headers are empty."""
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 3, 0, 0), show_header=any(headers))
        for header in headers:
            table.add_column(header, overflow="fold")
        for row in rows:
            table.add_row(*(escape(printable(cell)) for cell in row))
        with self.stdout.capture() as capture:
            self.stdout.print(table)
        sys.stdout.write("".join(f"{line.rstrip()}\n" for line in capture.get().splitlines()))

    @contextmanager
    def working(self, what: str) -> Iterator[Callable[[str], None]]:
        """A spinner beside `what` and the step under way, which the yielded function takes.

        If stderr is no terminal, one plain line.
        """
        if not self.stderr.is_terminal:
            self.note(f"{what} ...")
            yield lambda step: None
            return
        with self.stderr.status(escape(printable(what))) as status:
            yield lambda step: status.update(escape(printable(f"{what}: {step}")))

    @contextmanager
    def progress(self, what: str) -> Iterator[Report]:
        """A progress bar from the first report on; yields the function to report to."""
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self.stderr, transient=True, disable=not self.stderr.is_terminal) as bar:
            task = bar.add_task(escape(printable(what)), total=None, visible=False)

            def report(done: int, total: int) -> None:
                bar.update(task, completed=done, total=total, visible=True)

            yield report


def in_bytes(size: int | None) -> str:
    """A size for people, in the decimal units that the Hugging Face Hub shows; "-" for None."""
    if size is None:
        return "-"
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size} bytes"
