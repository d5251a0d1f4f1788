"""What a verb prints: its result on stdout, as JSON or plain text; notes, warnings and progress on stderr."""

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
"""Most columns of a bar with its label."""
BAR_STYLES = ("blue", "yellow", "green", "magenta", "cyan", "red", "white")
"""The colours of a bar's parts, in order."""


class Report(Protocol):
    """A progress callback: the amount done, and the total."""

    def __call__(self, done: int, total: int) -> None: ...


class Output:
    """The output of a verb. Colours and progress appear only on a terminal."""

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json
        self.stderr = Console(stderr=True, highlight=False)
        self.stdout = Console(highlight=False)
        self._spinner: Live | None = None

    @property
    def columns(self) -> int | None:
        """The width of stdout; None if it is not a terminal, so that nothing is wrapped."""
        return self.stdout.width if sys.stdout.isatty() else None

    def document(self, document: dict[str, Any]) -> None:
        """Print the verb's only JSON document: indented on a terminal, else on one line."""
        self._write_json(document, indent=2 if sys.stdout.isatty() else None)

    def document_line(self, document: dict[str, Any]) -> None:
        """Print one of several JSON documents on a line of its own, and flush it."""
        self._write_json(document, indent=None)
        sys.stdout.flush()

    def _write_json(self, document: dict[str, Any], indent: int | None) -> None:
        text = json.dumps(document, indent=indent, ensure_ascii=False, default=str)
        narrow = not str(sys.stdout.encoding).lower().startswith("utf")
        if narrow or holds_surrogates(text):  # A path that is not UTF-8 has surrogates; only escapes preserve them.
            text = json.dumps(document, indent=indent, default=str)
        sys.stdout.write(f"{text}\n")

    def note(self, text: str, style: str = "dim") -> None:
        """A line about the work, on stderr."""
        self._note(text, style=style)

    def warning(self, text: str) -> None:
        """A warning on stderr, after "warning:" in red."""
        self._note(f"warning: {text}", mark="warning:")

    def error(self, text: str) -> None:
        """What went wrong, on stderr."""
        self._note(f"error: {text}", mark="error:")

    def _note(self, text: str, style: str = "", mark: str = "") -> None:
        """Print text on stderr, wrapped to the terminal's width. mark: the beginning to print bold red."""
        columns = self.stderr.width if sys.stderr.isatty() else None
        line = Text("\n".join(layout.wrap(printable(text), columns)), style)
        line.stylize("bold red", 0, len(mark))
        self.stderr.print(line, soft_wrap=True)

    def line(self, text: str, style: str = "", indent: int = 0) -> None:
        """A line of the result, on stdout. indent: of continuation lines on a narrow terminal."""
        self._print([(line, style) for line in layout.wrap(printable(text), self.columns, indent)])

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[str]], wraps: Collection[str] = ()) -> None:
        """Aligned columns on stdout. `wraps` names the columns of prose, which a narrow terminal breaks at spaces."""
        cells = [[printable(cell) for cell in row] for row in rows]
        heading, lines = layout.table(headers, cells, self.columns, wraps)
        self._print([*((line, "bold") for line in heading), *((line, "") for line in lines)])

    def table_width(self, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
        """The columns that a table takes if nothing of it is broken."""
        return layout.table_width(headers, [[printable(cell) for cell in row] for row in rows])

    def bars(
        self,
        rows: Sequence[tuple[str, Mapping[str, float]]],
        styles: Mapping[str, str] | None = None,
        ends: Sequence[str] = (),
    ) -> None:
        """Draw a stacked bar for each row.

        rows: a label, and the value of each part by name; all rows have the same parts. The largest total fills the
        width. A part is drawn in a colour if the terminal has colours, else with the first free letter of its name.
        styles: a part's own style, if it has one. ends: the text after each bar.
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
        """Print the items beside each other, as many as fit on a line."""
        line = Text(" " * indent)
        for number, item in enumerate(items):
            if number and self.columns and line.cell_len + len(layout.GAP) + item.cell_len > self.columns:
                self.stdout.print(line, soft_wrap=True)
                line, number = Text(" " * indent), 0
            line.append(layout.GAP if number else "").append_text(item)
        self.stdout.print(line, soft_wrap=True)

    def _print(self, lines: Sequence[tuple[str, str]]) -> None:
        """Print lines with their styles on stdout. Pauses a spinner on stderr, which would overwrite them."""
        if self._spinner:
            self._spinner.stop()
        for line, style in lines:
            self.stdout.print(Text(line, style), soft_wrap=True)
        if self._spinner:
            self._spinner.start()

    @contextmanager
    def working(self, what: str) -> Iterator[Callable[[str], None]]:
        """Show a spinner with `what` and the current step. Yields the function that takes each step.

        If stderr is not a terminal, prints one plain line.
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
        """Show a spinner over a row for each of `names`, with its current step; the work on them is concurrent.

        The yielded function takes a name and its step, from any thread. If stderr is not a terminal, prints one plain
        line.
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
        """Truncate to one line of stderr beside a spinner."""
        line = Text(printable(text).replace("\n", " "))
        line.truncate(self.stderr.width - 3, overflow="ellipsis")
        return line

    @contextmanager
    def progress(self, what: str) -> Iterator[Report]:
        """Show a progress bar, from the first report on. Yields the function that takes reports."""
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
    """For each name, its first letter that no earlier name has taken; "?" if there is none."""
    found: dict[str, str] = {}
    for name in names:
        found[name] = next((letter for letter in name if letter not in found.values() and letter != " "), "?")
    return found
