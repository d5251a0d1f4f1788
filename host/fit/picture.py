"""Draws the results of fit as SVG, with the same bytes each time. matplotlib is an extra: tinyllm[plots]."""

from __future__ import annotations

import io
from collections.abc import Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from tinyllm.codegen.memory.parts import MemoryParts
from tinyllm.host.fit.fits import BoardFit, memories
from tinyllm.host.fit.weights import FORMATS
from tinyllm.host.model.sketch import Sketch
from tinyllm.host.prove.pictures import COLOURS, TEXT, WIDTH
from tinyllm.text import kilobytes

PARTS = {
    "core": "#4269d0",
    "program": "#efb118",
    "weights": "#3ca951",
    "index": "#9498a0",
    "vocabulary": "#a463f2",
    "prefix": "#97bbf5",
    "variables": "#efb118",
    "KV cache": "#ff725c",
    "state": "#9c6b4e",
    "hot code": "#6cc5b0",
    "tables": "#3ca951",
}
"""Colours of the parts of a memory. "tables" are copies of weights; "index" locates weights beside the program."""
FREE, LACKING = "#e5e5e5", "#d1242f"
KIB = 1024
BAR = 0.26
"""The height of one format's bar, as a share of its row."""


def draw_boards(sketch: Sketch, boards: Sequence[BoardFit]) -> str:
    """Draw for each board how full its fullest memory is, and how fast the model would be."""
    boards = [each for each in boards if each.board.memory]
    figure = _figure(1.6 + 0.5 * len(boards))
    filled, speed = figure.subplots(1, 2, sharey=True)
    for number, (weights, colour) in enumerate(zip(FORMATS, COLOURS, strict=False)):
        rows = [row + (number - 1) * BAR for row in range(len(boards))]
        fits = [each.formats[weights] for each in boards]
        times = [fit.fullest[1] if fit.fullest else 0.0 for fit in fits]
        rates = [fit.decode.tokens_per_second if fit.decode else 0.0 for fit in fits]
        filled.barh(rows, times, BAR, color=colour, label=weights)
        speed.barh(rows, rates, BAR, color=colour, label=weights)
        for row, fit, rate in zip(rows, fits, rates, strict=True):
            at = f" {rate:,.3g}" if rate else " unknown" if fit.fits else " does not fit"
            speed.annotate(at, (rate, row), va="center", color=TEXT, fontsize=7)
    filled.axvline(1, color=LACKING, linewidth=1)
    filled.set_xscale("log")
    filled.xaxis.set_major_formatter(FuncFormatter(lambda times, _: f"x{times:g}"))
    filled.xaxis.set_minor_formatter(NullFormatter())
    most = max((fit.fullest[1] for each in boards for fit in each.formats.values() if fit.fullest), default=1.0)
    filled.set_xlim(0.1, max(2 * most, 10))
    filled.set_xlabel("its fullest memory, by what it has")
    filled.set_yticks(range(len(boards)), [each.board.name for each in boards])
    filled.invert_yaxis()
    speed.set_xlabel("tokens/s halfway through the context, estimated")
    decodes = [fit.decode for each in boards for fit in each.formats.values() if fit.decode]
    speed.set_xlim(0, 1.3 * max((decode.tokens_per_second for decode in decodes), default=1.0))
    speed.legend(frameon=False, loc="best")
    return _svg(
        figure, [filled, speed], f"{sketch.config.name} with context {sketch.context}, or the longest that fits"
    )


def draw_board(sketch: Sketch, board: BoardFit) -> str:
    """Draw the memories of one board, with a bar for each format of the weights."""
    filled = memories(board)
    figure = _figure(0.7 + 1.45 * len(filled))
    panels = figure.subplots(len(filled), 1, squeeze=False)[:, 0]
    for axes, rows in zip(panels, filled, strict=True):
        _memory(axes, list(rows), list(rows.values()))
    return _svg(figure, list(panels), f"{sketch.config.name} on {board.board.name}, context {sketch.context}")


def _memory(axes: Axes, formats: Sequence[str], rows: Sequence[MemoryParts]) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row.parts))
    left = [0.0] * len(rows)
    for name in names:
        values = [row.parts.get(name, 0) / KIB for row in rows]
        axes.barh(formats, values, left=left, color=PARTS[name], label=name, height=0.7)
        left = [start + value for start, value in zip(left, values, strict=True)]
    axes.barh(formats, [row.free / KIB for row in rows], left=left, color=FREE, label="free", height=0.7)
    axes.axvline(rows[0].bytes / KIB, color=LACKING, linewidth=1)
    for number, row in enumerate(rows):
        what = f"{kilobytes(row.lacking)} lacking" if row.lacking else f"{kilobytes(row.free)} free"
        axes.annotate(f" {what}", (max(row.taken, row.bytes) / KIB, number), va="center", color=TEXT, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.18 * max(max(row.taken, row.bytes) for row in rows) / KIB)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size:,.0f}"))
    axes.set_ylabel(rows[0].memory)
    axes.set_xlabel("KB; the red line is where the memory ends")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=8)


def _figure(height: float) -> Figure:
    return Figure(figsize=(WIDTH, height), facecolor="white")


def _svg(figure: Figure, panels: Sequence[Axes], title: str) -> str:
    with matplotlib.rc_context(
        {"svg.hashsalt": title, "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9}
    ):
        for axes in panels:
            for side in ("top", "right"):
                axes.spines[side].set_visible(False)
        panels[0].set_title(title, loc="left", fontsize=10, color=TEXT)
        figure.tight_layout()
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
        return file.getvalue()
