"""Fits text and tables to a terminal's width. Lines break only at spaces, so no name is broken."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from wcwidth import wcswidth

GAP = "   "
NARROWEST = 12
"""A wrapped column is at least so wide, unless its text needs less."""


def wrap(text: str, columns: int | None, indent: int = 0) -> list[str]:
    """The lines of a text, broken at spaces. A word longer than a line stays whole and runs over.

    columns: width; None breaks only at newlines. indent: of continuation lines; 4 if the terminal is narrower than
    twice the indent.
    """
    lines: list[str] = []
    for line in text.split("\n"):
        fits = columns is None or width(line) <= columns
        lines += [line] if fits else _broken(line, columns or 0, indent if 2 * indent <= (columns or 0) else 4)
    return lines


def _broken(text: str, columns: int, indent: int) -> list[str]:
    lines = [""]
    for spaces, word in re.findall(r"(\s*)(\S+)", text):
        if lines[-1].strip() and width(lines[-1] + spaces + word) > columns:
            lines.append(" " * indent + word)
        else:
            lines[-1] += spaces + word
    return lines


def table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], columns: int | None, wraps: Collection[str] = ()
) -> tuple[list[str], list[str]]:
    """The header's lines, none if all headers are empty, and the lines of the rows.

    On a narrow terminal the columns named in `wraps` shrink. If the columns still do not fit beside each other, each
    row becomes a paragraph, under the first header. columns: the terminal's width, None for no limit.
    """
    cells = [headers, *rows] if any(headers) else list(rows)
    full = [max((width(row[place]) for row in cells), default=0) for place in range(len(headers))]
    widths = full if columns is None else _narrowed(headers, cells, full, columns, wraps)
    if widths is None:
        paragraphs = [_paragraph(headers, row, columns or 0, wraps) for row in rows]
        return [*filter(None, headers[:1])], [line for lines in paragraphs for line in lines]
    lines = [_side_by_side(row, widths) for row in cells]
    heading = lines.pop(0) if any(headers) else []
    return heading, [line for row in lines for line in row]


def table_width(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """The columns that a table takes if nothing of it is broken."""
    widths = [max(map(width, cells)) for cells in zip(headers, *rows, strict=True)]
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _narrowed(
    headers: Sequence[str], cells: Sequence[Sequence[str]], full: list[int], columns: int, wraps: Collection[str]
) -> list[int] | None:
    """The width of each column; None if they do not fit. A long word in the last column may run past the edge."""
    wrapping = sorted((full[place], place) for place, header in enumerate(headers) if header in wraps)
    fixed = [size for size, header in zip(full, headers, strict=True) if header not in wraps]
    left, widths = columns - sum(fixed) - len(GAP) * (len(headers) - 1), list(full)
    if left < 0:
        return None
    for number, (needed, place) in enumerate(wrapping):
        widths[place] = min(needed, left // (len(wrapping) - number))
        left -= widths[place]
        words = [word for row in cells for word in row[place].split()]
        longest = max(map(width, words), default=0) if place < len(headers) - 1 else 0
        if widths[place] < min(needed, max(NARROWEST, longest)):
            return None
    return widths


def _side_by_side(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """The lines of one row of the table: several if a cell wraps."""
    wrapped = [wrap(cell, size) for cell, size in zip(row, widths, strict=True)]
    lines = []
    for number in range(max(map(len, wrapped))):
        parts = [cell[number] if number < len(cell) else "" for cell in wrapped]
        lines.append(GAP.join(part + " " * (size - width(part)) for part, size in zip(parts, widths, strict=True)))
    return [line.rstrip() for line in lines]


def _paragraph(headers: Sequence[str], row: Sequence[str], columns: int, wraps: Collection[str]) -> list[str]:
    """A row as a paragraph: the first cell, below it the others with their headers. Prose gets lines of its own."""
    lines = wrap(row[0], columns) if row[0] else []
    short = True
    for header, cell in zip(headers[1:], row[1:], strict=True):
        item = f"{header}: {cell}" if header else cell
        beside = f"{lines[-1]}{GAP}{item}" if len(lines) > 1 and short and header not in wraps else ""
        if beside and width(beside) <= columns:
            lines[-1] = beside
        elif cell:
            lines += wrap(f"  {item}", columns, indent=4)
        short = header not in wraps
    return lines


def width(text: str) -> int:
    """Columns that a text takes on a terminal; control characters count as one."""
    columns = wcswidth(text)
    return columns if columns >= 0 else len(text)
