"""Writes docs/benchmarks.md from the records, the published figures and the negative results in benchmarks/.

python -m tinyllm.host.prove.benchmarks_page        write the page and its plots (`make benchmarks`)
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

from tinyllm.errors import TinyllmError
from tinyllm.files import write_file
from tinyllm.host.link.answer import format_rate
from tinyllm.host.prove.costs_check import PROMPT, check_counted, check_records
from tinyllm.host.prove.plots import Record, Sources, estimates_of, label_of, name_of, plots
from tinyllm.host.prove.published import Check, check_estimate, most_tokens_per_second
from tinyllm.host.virtual.parts import PARTS

PAGE = Path("docs/benchmarks.md")
COLUMNS = 120
HARDWARE = "measured on the board"
"""The beginning of the kind of a record that a chip's own clock has measured."""


def page(sources: Sources) -> str:
    """The text of docs/benchmarks.md."""
    parts = [_head(sources), _tokens(sources), _positions(sources), _speed(sources), _error(sources)]
    return "\n".join([*parts, _costs(sources), _llama2c(sources), _negative(sources)])


def _head(sources: Sources) -> str:
    measured = sum(1 for record in sources.records if record["kind"].startswith(HARDWARE))
    told = f"{measured} of them measured on hardware" if measured else "**none of them measured on hardware**"
    return f"""# Benchmarks

This page is made of the records in `benchmarks/` by `make benchmarks`. There are {len(sources.records)} records,
{told}. To add yours, flash a board and run

    tinyllm bench --port auto --positions 0,64,255 --save

and send us the file that it names. *Counted* figures are exact, from emulators. *Estimated* ones follow from counted
ones; their inputs are below. *Measured* ones are a real board's, by its own clock.
"""


def _per_mac(record: Record) -> float | None:
    return record["place"][0]["per_token"] / record["macs"] if record.get("macs") else None


def _tokens(sources: Sources) -> str:
    rows = [
        [
            record["model"],
            name_of(record),
            str(record["context"]),
            f"{record['place'][0]['per_token']:,.0f}",
            record["unit"],
            "-" if (per_mac := _per_mac(record)) is None else f"{per_mac:.2f}",
            _kind(record),
            str(record["date"]),
        ]
        for record in sources.latest.values()
    ]
    header = ["model", "board", "context", "per token", "unit", "per MAC", "kind", "date"]
    return f"""## What a token costs

The mean of greedy tokens after "Once upon a time", forward pass and sampling. A MAC is a multiplication of the model's
matrices. With two cores it is the longer way of both.

{_table(header, rows)}{_picture(sources, "parts")}{_picture(sources, "history")}"""


def _kind(record: Record) -> str:
    return next((word for word in ("counted", "estimated", "measured") if record["kind"].startswith(word)), "timed")


def _positions(sources: Sources) -> str:
    rows = []
    for record in sources.latest.values():
        for place in record["place"] if record["cores"] == 1 else ():
            if parts := place.get("parts"):
                counts = [f"{parts.get(part.title, 0):,.0f}" for part in PARTS]
                rows.append([record["model"], name_of(record), place["positions"], *counts])
    header = ["model", "board", "position", *(part.title for part in PARTS)]
    return f"""## By part and position

Counted on one core, in the unit of the table above.

{_table(header, rows)}{_picture(sources, "positions")}"""


def _speed(sources: Sources) -> str:
    rows = [
        [
            record["model"],
            label_of(record),
            str(estimate["cores"]) + (" (half assumed)" if estimate["half_assumed"] else ""),
            format_rate(estimate["tokens_per_second"]),
            f"{estimate['compute_ms']:.2f}",
            f"{estimate['transfer_ms']:.2f}",
            _clock(record),
            _moved(record),
        ]
        for record, estimate in estimates_of(list(sources.latest.values()))
    ]
    header = ["model", "board", "cores", "tokens/s", "computing, ms", "waiting, ms", "clock and cycles", "bytes"]
    return f"""## What the chips would make of it

**Estimated**: counted instructions by the cycles of one ([evidence/cycles.md](evidence/cycles.md)), and the bytes of
weights and KV cache at the bandwidth of their memory ([evidence/bandwidth.md](evidence/bandwidth.md)), added.
*Half assumed*: the emulator has one core, and each of two is taken to do half of the matrices and of the attention.

{_table(header, rows)}{_picture(sources, "speed")}"""


def _clock(record: Record) -> str:
    """The clock, and the cycles of an instruction unless cycles were counted."""
    inputs = record["estimated_from"]
    cycles = "" if record["unit"] == "cycles" else f", {inputs['cycles_per_instruction']:g}"
    return f"{inputs['clock_mhz']} MHz{cycles}"


def _moved(record: Record) -> str:
    moved, inputs = record["place"][0]["bytes"], record["estimated_from"]
    speed = inputs.get(f"{moved['weights_in'].lower()}_mb_s")
    at = f" at {speed} MB/s" if speed else ""
    copies = {"SRAM": moved.get("copied", 0), "PSRAM": moved.get("copied_to_psram", 0)}
    beside = "".join(f", {size:,} of {memory}" for memory, size in copies.items() if size)
    return f"{moved['weights'] - sum(copies.values()):,} of {moved['weights_in']}{at}{beside}"


def _error(sources: Sources) -> str:
    checks = check_estimate(list(sources.figures))
    rows = [_checked(check) for check in checks]
    known = {check.figure.name for check in checks}
    rest = [
        _wrapped(
            f"- {figure.name}: {figure.tokens_per_second:g} tokens/s; its bytes alone would allow "
            f"{format_rate(most_tokens_per_second(figure))} ({figure.source})"
        )
        for figure in sources.figures
        if figure.name not in known and not any(other.like == figure.name for other in sources.figures)
    ]
    worst = max(checks, key=lambda check: abs(check.error))
    mean = sum(abs(check.error) for check in checks) / len(checks)
    header = ["program, measured by others", "tokens/s", "estimated", "error", "computing from"]
    text = "\n".join(rest)
    return f"""## How wrong the estimate is

The same estimate of programs that others have measured on hardware (`benchmarks/published.toml` has the sources,
[evidence/bandwidth.md](evidence/bandwidth.md) the memories' speeds).
The error is {mean:.0%} in the mean of {len(checks)}, and {worst.error:+.0%} at worst: {worst.figure.name}.

{_table(header, rows)}
Also measured by others, with nothing to estimate their computing from:

{text}
"""


def _checked(check: Check) -> list[str]:
    figure = check.figure
    given = f"{figure.instructions:,} instructions, counted" if figure.instructions else f"{figure.like}"
    return [
        figure.name,
        f"{figure.tokens_per_second:g}",
        format_rate(check.estimated),
        f"{check.error:+.0%}",
        given,
    ]


def _costs(sources: Sources) -> str:
    """A row for each model and board, a column for each place."""
    now, then = list(check_counted(sources.counted)), list(check_records(sources.latest.values()))
    places = ("0", "64", "255", "5-132", PROMPT)
    rows = []
    for source, checks in (("now", now), ("records", then)):
        for model, board, cores in dict.fromkeys((each.model, each.board, each.cores) for each in checks):
            errors = {
                each.what: each.error
                for each in checks
                if (each.model, each.board, each.cores) == (model, board, cores)
            }
            name = board if cores == 1 else f"{board}, {cores} cores"
            rows.append(
                [model, name, source, *(f"{errors[place]:+.1%}" if place in errors else "-" for place in places)]
            )
    worst = max(now, key=lambda each: abs(each.error))
    header = ["model", "board", "counts of", *places]
    return f"""## How wrong the instructions of `tinyllm fit` are

`tinyllm fit` runs no emulator: it estimates the instructions of a token from its work, by what a unit of it costs each
kernel set ([fit.md](fit.md)). The costs are fitted to counts of random models of six shapes (`benchmarks/shapes.toml`).
Here they stand against counts of real models, which had no part in the fit (but the random ones look about as sharply
as the story models): of today's kernels (`benchmarks/counted.toml`), where the error is {worst.error:+.1%} at worst,
and of the records above, which may be of older ones. A model that looks at few positions of a full context costs less.

{_table(header, rows)}"""


def _llama2c(sources: Sources) -> str:
    rows = [
        [
            each["model"],
            each["processor"],
            each["compiler"],
            f"{each['us_per_token']:g}",
            f"{each['llama2c_us_per_token']:g}",
            f"{each['times_as_fast']:.2f} ({each['quartiles'][0]:.2f}-{each['quartiles'][1]:.2f})",
            str(each["pairs"]),
            str(each["date"]),
        ]
        for each in sources.comparisons
    ]
    header = ["model", "processor", "compiler", "us a token", "llama2.c's", "times as fast, quartiles", "pairs", "date"]
    return f"""## The host board beside llama2.c

*Measured* on a computer, one thread, by its CPU time: a greedy token of positions 5-132, forward pass and sampling,
of the `host` board and of llama2.c's float program at `-O3 -march=native -ffast-math`. Both run in turns, and what
counts is the median of the ratios. `python benchmarks/llama2c.py RUN_C CHECKPOINT --save` measures yours.

{_table(header, rows)}"""


def _negative(sources: Sources) -> str:
    lines = [_wrapped(f"- {each['what']}: {each['figures']} ({each['date']}).") for each in sources.negative]
    text = "\n".join(lines)
    return f"""## What came out worse

{text}
"""


def _wrapped(text: str) -> str:
    return fill(text, COLUMNS, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as preformatted text, because it is wider than the lines of the page."""
    cells = [header, *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = [
        "    " + "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
    return "\n".join(lines) + "\n"


def _picture(sources: Sources, name: str) -> str:
    found = [plot for plot in plots(sources) if plot.name == name]
    return "".join(f"\n![{plot.title}]({plot.path.relative_to(PAGE.parent).as_posix()})\n" for plot in found)


def main() -> int:
    """Write the page and its plots, in the current folder."""
    from tinyllm.host.prove.pictures import draw  # matplotlib: an extra

    try:
        sources = Sources.read()
        write_file(PAGE, page(sources))
        for plot in plots(sources):
            write_file(plot.path, draw(plot))
    except TinyllmError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
