"""Draws the plots of docs/benchmarks.md and of `tinyllm eval` as SVG, with the same bytes each time.

matplotlib is an extra: tinyllm[plots].
"""

from __future__ import annotations

import io

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tinyllm.host.prove.plots import Plot

WIDTH = 9.0
"""Inches."""
ROW, MARGIN = 0.34, 1.3
"""Inches of a bar, and around all bars."""
ACROSS = {"positions": "position", "loss": "step"}
"""Name of a plot -> what the x of its lines is; in all others it is a record's number."""
COLOURS = ("#4269d0", "#efb118", "#3ca951", "#a463f2", "#6cc5b0", "#ff725c", "#9c6b4e", "#97bbf5")
TEXT = "#24292f"


def draw(plot: Plot) -> str:
    """The SVG of a plot; its description is the plot's digest."""
    with matplotlib.rc_context(
        {"svg.hashsalt": plot.name, "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9}
    ):
        height = 4.2 if plot.kind in ("lines", "points") else MARGIN + ROW * len(plot.rows)
        figure = Figure(figsize=(WIDTH, height), facecolor="white")
        axes = figure.subplots()
        {"stacked": _bars, "bars": _bars, "lines": _lines, "points": _points}[plot.kind](axes, plot)
        figure.suptitle(plot.title, x=0.01, ha="left", fontsize=10, color=TEXT)  # not of the axes: a long one fits
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        figure.tight_layout()
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Description": plot.digest})
        return file.getvalue()


def _bars(axes: Axes, plot: Plot) -> None:
    """One bar for each row, with its series one after the other."""
    labels = list(plot.rows)
    series = list(dict.fromkeys(name for row in plot.rows.values() for name in row))
    left = [0.0] * len(labels)
    for name, colour in zip(series, COLOURS, strict=False):
        values = [plot.rows[label].get(name, 0.0) for label in labels]
        axes.barh(labels, values, left=left, label=name, color=colour, height=0.7)
        left = [start + value for start, value in zip(left, values, strict=True)]
    for number, total in enumerate(left):
        axes.annotate(f" {total:,.1f}", (total, number), va="center", color=TEXT)
    axes.invert_yaxis()
    axes.set_xlabel(plot.axis)
    axes.set_xlim(0, 1.12 * max(left))
    axes.margins(y=0.02)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))


def _lines(axes: Axes, plot: Plot) -> None:
    for (label, row), colour in zip(plot.rows.items(), COLOURS, strict=False):
        axes.plot([float(x) for x in row], list(row.values()), marker="o", label=label, color=colour)
    axes.set_xlabel(ACROSS.get(plot.name, "record"))
    if plot.name != "positions":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel(plot.axis)
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color="#e5e5e5")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))


def _points(axes: Axes, plot: Plot) -> None:
    """A point for each row, its label beside it; a row without an x is a line across."""
    for (label, row), colour in zip(plot.rows.items(), COLOURS, strict=False):
        for x, y in row.items():
            if x:
                axes.plot(int(x) / 1000, y, marker="o", color=colour, linestyle="none")
                axes.annotate(f"  {label}", (int(x) / 1000, y), va="bottom", color=TEXT)
            else:
                axes.axhline(y, color=TEXT, linewidth=0.8, linestyle="--")
                axes.annotate(
                    f"{label} ", (1, y), xycoords=("axes fraction", "data"), ha="right", va="bottom", color=TEXT
                )
    axes.set_xlabel("weights, KB")
    axes.set_ylabel(plot.axis)
    axes.margins(x=0.15, y=0.15)
    axes.grid(axis="y", color="#e5e5e5")
