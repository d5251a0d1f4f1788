"""Prints the report of the verb bench as tables, with a column for each place: each position that was measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tinyllm.host.link.answer import format_rate
from tinyllm.host.output import Output
from tinyllm.host.prove.benchmark import Phase
from tinyllm.host.prove.estimate import Chip
from tinyllm.host.prove.report import Report

FEW = 0.005
"""A smaller share is shown as <1%, because it would round to 0%."""
FUNCTIONS = 5
"""The number of functions shown for each part."""


def show(output: Output, report: Report, functions: bool) -> None:
    """Print the whole report. functions: also print the dearest functions of each part."""
    show_run(output, report)
    if any(place.parts for place in report.places):
        show_parts(output, report)
    elif len(report.places) > 1:
        show_positions(output, report)
    if functions:
        show_functions(output, report)
    show_bytes(output, report)
    show_estimates(output, report)


def show_all(output: Output, reports: Sequence[tuple[str, Report]]) -> None:
    """Print a row for each port: its board, and the cost of a token there."""
    rows = []
    for port, report in reports:
        hello, benchmark = report.hello, report.benchmark
        speed = benchmark.answer.tokens_per_second
        rows.append(
            [
                port,
                hello.board,
                hello.model,
                f"{benchmark.prompt.per_token:,.0f}",
                f"{benchmark.answer.per_token:,.0f}",
                "-" if speed is None else format_rate(speed),
                str(benchmark.digest),
                benchmark.kind,
            ]
        )
    unit = reports[0][1].unit
    headers = ["port", "board", "model", f"prompt, {unit}", f"answer, {unit}", "tokens/s", "digest", "figures"]
    output.table(headers, rows, wraps=["figures"])


def show_run(output: Output, report: Report) -> None:
    """Print the cost of a token in the prompt and in the answer."""
    hello, benchmark = report.hello, report.benchmark
    cores = f", {report.cores} cores" if report.cores > 1 else ""
    kernels = f"kernels {hello.kernels}" if hello.kernels_agree else f"portable C instead of {hello.kernels}"
    about = f"{hello.model} ({hello.model_hash}) on {hello.board}"
    output.line(f"{about}, context {hello.context}{cores}, {kernels}", style="bold")

    timed = report.unit == "microseconds"

    def row(name: str, phase: Phase) -> list[str]:
        dear = phase.per_token * (1000 if timed else 1)
        per_mac = "-" if report.macs is None or name == "prompt" else f"{dear / report.macs:,.2f}"
        speed = "-" if phase.tokens_per_second is None else format_rate(phase.tokens_per_second)
        return [name, str(phase.tokens), f"{phase.per_token:,.0f}", per_mac, speed]

    rows = [row("prompt", benchmark.prompt), row("answer", benchmark.answer)]
    per_mac = "ns per MAC" if timed else "per MAC"
    output.table(["", "tokens", f"{report.unit} per token", per_mac, "tokens/s"], rows)
    if benchmark.prefill is not None:
        prefill = benchmark.prefill
        output.line(
            f"A prompt of {prefill.tokens} tokens: {prefill.per_token:,.0f} {report.unit} per token, "
            f"{prefill.share:.2f} of the {prefill.decoded:,.0f} of generating them."
        )
    output.line(f"digest {benchmark.digest}. Figures: {benchmark.kind}.")
    if benchmark.executed:
        each = ", ".join(f"core {core} {count:,}" for core, count in enumerate(benchmark.executed))
        output.line(f"Instructions executed meanwhile, counted: {each}")


def show_parts(output: Output, report: Report) -> None:
    """Print the counts of each part, with a column for each place."""
    places = report.places
    both = " of both cores" if report.cores > 1 else ""
    output.line("")
    output.line(f"{report.unit}{both} per token at each position, by part, counted", style="bold")
    whole = [sum(place.parts.values()) for place in places]
    wide = max(len(f"{count:,.0f}") for count in whole)
    rows = [
        [part, *(_shared(place.parts[part], count, wide) for place, count in zip(places, whole, strict=True))]
        for part in places[0].parts
    ]
    rows.append(["all", *(f"{count:{wide},.0f}" for count in whole)])
    if report.macs:
        rows.append(["per MAC", *(f"{count / report.macs:{wide},.2f}" for count in whole)])
    for core in range(report.cores if report.cores > 1 else 0):
        counts = [place.by_core[core] if core < len(place.by_core) else 0 for place in places]
        rows.append([f"core {core}", *(f"{count:{wide},.0f}" for count in counts)])
    output.table(["part", *(place.place.name.rjust(wide) for place in places)], rows)
    output.line("")
    output.bars([(place.place.name, place.parts) for place in places])


def _shared(count: float, whole: float, wide: int) -> str:
    """The count of a part, and its share of the whole."""
    share = count / whole
    return f"{count:{wide},.0f} {f'{share:.0%}' if share >= FEW else '<1%':>3}"


def show_positions(output: Output, report: Report) -> None:
    """Print the cost of a token at each place, for a report without parts."""
    output.line("")
    rows = [[place.place.name, f"{place.place.per_token:,.0f}"] for place in report.places]
    output.table(["position", f"{report.unit} per token"], rows)


def show_functions(output: Output, report: Report) -> None:
    """Print the dearest functions of each part, at the first place."""
    place = report.places[0]
    output.line("")
    output.table(
        ["part", "function", f"{report.unit} at {place.place.name}"],
        [
            [part if number == 0 else "", name, f"{count:,.0f}"]
            for part, row in place.functions.items()
            for number, (name, count) in enumerate(list(row.items())[:FUNCTIONS])
        ],
    )


def show_bytes(output: Output, report: Report) -> None:
    """Print the bytes that a token reads and writes, by memory."""
    moved = [place.moved for place in report.places if place.moved is not None]
    if not moved:
        return
    first = moved[0]
    output.line("")
    output.table(
        ["bytes per token", "memory", *(place.place.name for place in report.places)],
        [
            *(
                ["weights read", memory, *(f"{each.weights_by_memory[memory]:,}" for each in moved)]
                for memory in first.weights_by_memory
            ),
            ["KV cache read", first.cache_in, *(f"{each.cache_read:,}" for each in moved)],
            ["KV cache written", first.cache_in, *(f"{each.cache_written:,}" for each in moved)],
        ],
    )


def show_estimates(output: Output, report: Report) -> None:
    """Print the chip's estimated tokens per second, and what the estimate is based on."""
    chip, places = report.chip, report.places
    if chip is None or not places[0].estimates:
        return
    output.line("")
    rows = []
    for number, first in enumerate(places[0].estimates):
        each = [place.estimates[number] for place in places]
        name = "1 core" if first.cores == 1 else f"{first.cores} cores"
        rows.append([name, *(format_rate(one.tokens_per_second) for one in each)])
        rows.append(["  computing, ms", *(f"{one.compute_ms:,.2f}" for one in each)])
        rows.append(["  waiting for memory, ms", *(f"{one.transfer_ms:,.2f}" for one in each)])
    output.table([f"tokens/s at {chip.clock_mhz} MHz, estimated", *(place.place.name for place in places)], rows)
    if report.prefill is not None:
        read, decoded = report.prefill.read, report.prefill.decoded
        output.line(
            f"A prompt of {report.prefill.tokens} tokens: {read.ms:.2f} ms per token, of which {read.transfer_ms:.2f} "
            f"waiting for memory; {report.prefill.share:.2f} of the {decoded.ms:.2f} of generating them."
        )
    output.line(" ".join(_inputs(report, chip)), indent=2)


def _inputs(report: Report, chip: Chip) -> Iterator[str]:
    place = report.places[0]
    cycles = "" if report.unit == "cycles" else f" x {chip.cycles_per_instruction:g} cycles"
    yield f"Estimated from: counted {report.unit}{cycles} at {chip.clock_mhz} MHz ({chip.cycles_source});"
    moved = place.moved.by_memory if place.moved else {}
    speeds = {"flash": chip.bandwidth.flash, "PSRAM": chip.bandwidth.psram}
    read = [f"{memory} at {speed} MB/s" for memory in moved if (speed := speeds.get(memory))]
    if read:
        yield f"bytes of {' and '.join(read)} ({chip.bandwidth.source}), nothing fetched ahead."
    if any(each.half_assumed for each in place.estimates):
        yield "Of two cores each is taken to do half of the matrices and of the attention; this emulator runs one."
