"""What a verb shows: one JSON document or plain words on stdout, everything about the work itself on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.spinner import Spinner
from rich.text import Text

from tinyllm.host import layout
from tinyllm.text import holds_surrogates, printable

BAR = 100
"""Columns of the widest bar with its label."""
BAR_STYLES = ("blue", "yellow", "green", "magenta", "cyan", "red", "white")
"""Of the parts of a bar, in order."""


class Report(Protocol):
    """Takes how much is done, and of how much."""

    def __call__(self, done: int, total: int) -> None: ...


class Output:
    """Where a verb writes; colours and progress appear only on a terminal."""

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json
        self.stderr = Console(stderr=True, highlight=False)
        self.stdout = Console(highlight=False)
        self._spinner: Live | None = None

    @property
    def columns(self) -> int | None:
        """The width of stdout; None if it is no terminal, so that nothing is wrapped."""
        return self.stdout.width if sys.stdout.isatty() else None

    def document(self, document: dict[str, Any]) -> None:
        """The one JSON document of a verb; spread over lines for a reader, on one line for a program."""
        self._write_json(document, indent=2 if sys.stdout.isatty() else None)

    def document_line(self, document: dict[str, Any]) -> None:
        """One of several JSON documents, each on a line of its own, which arrives at once."""
        self._write_json(document, indent=None)
        sys.stdout.flush()

    def _write_json(self, document: dict[str, Any], indent: int | None) -> None:
        text = json.dumps(document, indent=indent, ensure_ascii=False, default=str)
        narrow = not str(sys.stdout.encoding).lower().startswith("utf")
        if narrow or holds_surrogates(text):  # of a path that is not UTF-8: only escapes keep it as it is
            text = json.dumps(document, indent=indent, default=str)
        sys.stdout.write(f"{text}\n")

    def note(self, text: str, style: str = "dim") -> None:
        """A line about the work, on stderr."""
        self._note(text, style=style)

    def warning(self, text: str) -> None:
        """A line that begins with "warning:", on stderr."""
        self._note(text, mark="warning:")

    def error(self, text: str) -> None:
        """What went wrong, on stderr."""
        self._note(f"error: {text}", mark="error:")

    def _note(self, text: str, style: str = "", mark: str = "") -> None:
        """A line on stderr, as wide as the terminal; it may begin with a mark."""
        columns = self.stderr.width if sys.stderr.isatty() else None
        line = Text("\n".join(layout.wrap(printable(text), columns)), style)
        line.stylize("bold red", 0, len(mark))
        self.stderr.print(line, soft_wrap=True)

    def line(self, text: str, style: str = "", indent: int = 0) -> None:
        """A line of the result, on stdout. indent: of what does not fit a narrow terminal's first line."""
        self._print([(line, style) for line in layout.wrap(printable(text), self.columns, indent)])

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[str]], wraps: Collection[str] = ()) -> None:
        """Aligned columns on stdout. `wraps` names the columns of prose, which a narrow terminal breaks at spaces."""
        cells = [[printable(cell) for cell in row] for row in rows]
        heading, lines = layout.table(headers, cells, self.columns, wraps)
        self._print([*((line, "bold") for line in heading), *((line, "") for line in lines)])

    def bars(
        self,
        rows: Sequence[tuple[str, Mapping[str, float]]],
        styles: Mapping[str, str] | None = None,
        ends: Sequence[str] = (),
    ) -> None:
        """A stacked bar for each row: its label, and the parts by name, the same in all rows. The longest is the
        widest. A part is a colour on a terminal that has them, else a letter of its name, the first that is free.

        styles: of the parts that have one of their own. ends: what stands after each bar.
        """
        longest = max((sum(parts.values()) for _, parts in rows), default=0)
        gap = max((len(label) for label, _ in rows), default=0) + len(layout.GAP)
        after = max(map(len, ends), default=-1) + 1
        room = min(self.columns or BAR, BAR) - gap - after
        names = list(rows[0][1]) if rows else []
        own = styles or {}
        others = iter(BAR_STYLES)
        style = {name: own.get(name) or next(others, "") for name in names}
        coloured = self.stdout.color_system is not None and self.stdout.encoding.lower().startswith("utf")
        letters = _letters(names)
        marks = {name: "█" if coloured else letters[name] for name in names}
        self._legend([Text.assemble((marks[name], style[name] if coloured else ""), f" {name}") for name in names], gap)
        for number, (label, parts) in enumerate(rows):
            bar, done, total = Text(label.ljust(gap)), 0, 0.0
            for name in names:
                total += parts[name]
                end = round(total * room / longest) if longest else 0
                bar.append(marks[name] * (end - done), style[name] if coloured else "")
                done = end
            if ends:
                bar.append(f"{' ' * (room - done)} {ends[number]}")
            self.stdout.print(bar, soft_wrap=True)

    def _legend(self, items: Sequence[Text], indent: int) -> None:
        """The items beside each other, as many as fit a line."""
        line = Text(" " * indent)
        for number, item in enumerate(items):
            if number and self.columns and line.cell_len + len(layout.GAP) + item.cell_len > self.columns:
                self.stdout.print(line, soft_wrap=True)
                line, number = Text(" " * indent), 0
            line.append(layout.GAP if number else "").append_text(item)
        self.stdout.print(line, soft_wrap=True)

    def _print(self, lines: Sequence[tuple[str, str]]) -> None:
        """Lines and their styles on stdout. A spinner, which is on stderr, would not know of them: it makes room."""
        if self._spinner:
            self._spinner.stop()
        for line, style in lines:
            self.stdout.print(Text(line, style), soft_wrap=True)
        if self._spinner:
            self._spinner.start()

    @contextmanager
    def working(self, what: str) -> Iterator[Callable[[str], None]]:
        """A spinner beside `what` and the step under way, which the yielded function takes.

        If stderr is no terminal, one plain line.
        """
        if not self.stderr.is_terminal:
            self.note(f"{what} ...")
            yield lambda step: None
            return
        spinner = Spinner("dots", self._one_line(what), style="green")
        with Live(spinner, console=self.stderr, transient=True, redirect_stdout=False, redirect_stderr=False) as live:
            self._spinner = live
            try:
                yield lambda step: spinner.update(text=self._one_line(f"{what}: {step}"))
            finally:
                self._spinner = None

    @contextmanager
    def working_on(self, what: str, names: Sequence[str]) -> Iterator[Callable[[str, str], None]]:
        """A table with a row for each of `names`, which are worked on at once, and the step that it is at.

        The yielded function takes a name and its step, from any thread. If stderr is no terminal, one plain line.
        """
        if not self.stderr.is_terminal:
            self.note(f"{what} ...")
            yield lambda name, step: None
            return
        steps = dict.fromkeys(names, "waiting")

        def rows() -> Group:
            wide = max(map(len, names))
            return Group(spinner, *(self._one_line(f"  {name:{wide}}   {step}") for name, step in steps.items()))

        spinner = Spinner("dots", self._one_line(what), style="green")
        with Live(
            console=self.stderr, transient=True, redirect_stdout=False, redirect_stderr=False, get_renderable=rows
        ):
            yield steps.__setitem__

    def _one_line(self, text: str) -> Text:
        """Cut to what fits a line of stderr beside a spinner."""
        line = Text(printable(text).replace("\n", " "))
        line.truncate(self.stderr.width - 3, overflow="ellipsis")
        return line

    @contextmanager
    def progress(self, what: str) -> Iterator[Report]:
        """A progress bar from the first report on; yields the function to report to."""
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        hidden = not self.stderr.is_terminal
        with Progress(
            *columns, console=self.stderr, transient=True, redirect_stdout=False, redirect_stderr=False, disable=hidden
        ) as bar:
            task = bar.add_task(escape(printable(what)), total=None, visible=False)

            def report(done: int, total: int) -> None:
                bar.update(task, completed=done, total=total, visible=True)

            yield report


def _letters(names: Sequence[str]) -> dict[str, str]:
    """Of each name its first letter that no name before it has."""
    found: dict[str, str] = {}
    for name in names:
        found[name] = next((letter for letter in name if letter not in found.values() and letter != " "), "?")
    return found
