"""Prints the results of the verb fit: a row for each board, or one board in detail."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tinyllm.boards.board import Board
from tinyllm.codegen.memory.parts import MemoryParts
from tinyllm.codegen.memory.plan import FLASH, FLASH_BESIDE, PARTITION, PSRAM, SRAM, plan_memory
from tinyllm.host.fit.batteries import BATTERIES
from tinyllm.host.fit.fits import PROMPT, BoardFit, Fit, Speed, memories
from tinyllm.host.fit.largest import largest_models
from tinyllm.host.fit.remedies import Remedy
from tinyllm.host.fit.weights import FORMATS, MIXED_BITS, mixture_of, outlines
from tinyllm.host.link.answer import format_rate
from tinyllm.host.model.sketch import Sketch
from tinyllm.host.output import Output
from tinyllm.host.prove.costs import INT4_MAC
from tinyllm.text import kilobytes

BATTERY = "LiPo"
"""The header of the column for the first of BATTERIES."""
COLUMNS = (FLASH, SRAM, PSRAM)
"""The memories that each have a column."""
REST = ("longest", "largest", "mJ", "prefill", BATTERY, *COLUMNS)
"""The headers of the columns after those of the formats. A narrow terminal shows the first of them."""
FREE, LACKING = "free", "lacking"
STYLES = {FREE: "bright_black", LACKING: "red"}
"""Styles of the parts of a memory's bar that are not parts of the program."""
NONE = "-"
INSIDE, BESIDE = "in the program", "beside it"


def show_boards(output: Output, sketch: Sketch, boards: Sequence[BoardFit], kinds: Sequence[Sequence[Board]]) -> None:
    """Print a row for each board. kinds: groups of boards that are equal for a model; only the first has a row."""
    output.line(_title(sketch), style="bold")
    output.line(_sizes(sketch), indent=2)
    output.line("")
    headers = ["board", *FORMATS, *REST]
    rows = [
        [each.board.name, *(_cell(each.formats[weights], each.best) for weights in FORMATS), *_rest(sketch, each)]
        for each in boards
    ]
    widths = [output.table_width(headers[:n], [row[:n] for row in rows]) for n in range(len(headers) + 1)]
    room = widths[-1] if output.columns is None else output.columns
    shown = max(sum(width <= room for width in widths[1:]), 1 + len(FORMATS))
    output.table(headers[:shown], [row[:shown] for row in rows])
    output.line("")
    for line in _legend(sketch, boards, kinds, headers[shown:], widths[-1]):
        output.line(line, indent=2)


def _title(sketch: Sketch) -> str:
    return f"{sketch.config.name}: {sketch.n_parameters:,} parameters, context {sketch.context}"


def _mixture(sketch: Sketch) -> str:
    """What a mixture of int8 and int4 is limited to."""
    mixture = sketch.mixture
    if mixture is not None and mixture.budget is not None:
        return f"mixed has all weights in {mixture.budget:,} bytes"
    if mixture is not None and mixture.board is not None:
        return f"mixed is as much int8 as {mixture.board} has room for"
    return f"mixed has {MIXED_BITS:g} bits a weight in the mean"


def _estimated(sketch: Sketch) -> Iterator[str]:
    """A line if a build may choose other matrices for a mixture, which take other bytes."""
    if not mixture_of(sketch).counted:
        yield "The bytes of mixed are estimated until a build has measured which matrices should be int8."


def _chosen(sketch: Sketch) -> str:
    """The weights of the columns that show only one format."""
    return "the first weights that fit" if sketch.chosen is None else f"{sketch.chosen} weights"


def _sizes(sketch: Sketch) -> str:
    """The bytes that the model takes on any board, within the padding of its kernel set."""
    plans = {weights: plan_memory(model, sketch.pieces) for weights, model in outlines(sketch).items()}
    weights = ", ".join(f"{kilobytes(plan.flash['weights'])} as {name}" for name, plan in plans.items())
    state = plans["int8"].ram["kv_cache"], plans["int8"].state_bytes
    return (
        f"weights: {weights}; KV cache: {kilobytes(state[0])}, other state: {kilobytes(state[1] - state[0])}; counted"
    )


def _cell(fit: Fit, best: Fit | None) -> str:
    """Tokens per second, or how many times the fullest memory is needed if the model does not fit.

    best: the first format that fits; the columns after the formats say its context.
    """
    if not fit.known:
        return "unknown"
    if not fit.fits:
        return _shortage(fit)
    speed = format_rate(fit.decode.tokens_per_second) if fit.decode else "fits"
    return speed if best is None or fit.context == best.context else f"{speed} at {fit.context}"


def _rest(sketch: Sketch, each: BoardFit) -> list[str]:
    """The cells of REST."""
    best, largest = each.best, largest_models(sketch, each)["int4"]
    most = NONE if largest is None else f"{largest.parameters / 1e6:,.1f}M{'+' * largest.at_least}"
    if best is None:
        return [NONE, most, *[NONE] * (len(REST) - 2)]
    filled = {memory.memory: f"{memory.taken / memory.bytes:.0%}" for memory in best.parts}
    if FLASH_BESIDE in filled:
        filled[FLASH] += f"+{filled[FLASH_BESIDE]}"
    charge = _charge(best.decode, BATTERIES[0].name, brief=True)
    row = [f"{best.longest_context:,}", most, _energy(best.decode), _rate(best.prefill), charge]
    return row + [filled.get(memory, NONE) for memory in COLUMNS]


def _legend(
    sketch: Sketch,
    boards: Sequence[BoardFit],
    kinds: Sequence[Sequence[Board]],
    left_out: Sequence[str],
    whole: int,
) -> Iterator[str]:
    """Lines that explain the words in the table, if they occur in it.

    left_out: the headers for which the terminal is too narrow. whole: columns of a terminal that shows them all.
    """
    fits = [fit for each in boards for fit in each.formats.values()]
    yield (
        f"Numbers below the weights are tokens/s halfway through the context, estimated; {_mixture(sketch)}. "
        f"The other columns are with {_chosen(sketch)}: the longest context, the energy of a token in mJ. "
        "largest: parameters of the largest model as wide as this one, its blocks int4, with the context of the row."
    )
    yield from _estimated(sketch)
    if any(fit.known and not fit.fits for fit in fits):
        yield "flash x2.3: does not fit, for it needs 2.3 times the flash that there is."
    if any(fit.fits and fit.context != sketch.context for fit in fits):
        yield (
            f"Where the longest context is below {sketch.context}, the figures are for the longest; "
            "a build takes it unless --context is given."
        )
    if any(
        each.best and fit.fits and fit.context != each.best.context for each in boards for fit in each.formats.values()
    ):
        yield "N at C: N tokens/s with context C, the longest that fits with these weights."
    if not left_out:
        battery = BATTERIES[0]
        yield (
            f"prefill: tokens/s of a prompt of {PROMPT} tokens. {BATTERY}: tokens of a {battery.name}, "
            f"{battery.watt_hours:g} Wh. flash, SRAM, PSRAM: filled so far, copies of weights included."
        )
        if any(each.best and each.best.needs.weights_in == PARTITION for each in boards):
            yield "flash 69%+98%: of the program's part, and of the part beside it, for there the weights lie."
    else:
        *others, last = left_out
        yield f"A terminal of {whole} columns shows {', '.join(others)}{' and ' if others else ''}{last} too."
    if sketch.tokenizer is None:
        yield f"The vocabulary's bytes are estimated. {sketch.no_tokenizer}"
    for each in boards:
        if each.unknown and any(fit.fits or not fit.known for fit in each.formats.values()):
            yield f"{each.board.name}: unknown, because {each.unknown}."
    if equal := [f"{first.name} for {', '.join(each.name for each in rest)}" for first, *rest in kinds if rest]:
        yield f"Boards that are equal for a model share a row: {'; '.join(equal)}."
    yield "--board NAME shows a board's memories, and what to change."


def show_board(output: Output, sketch: Sketch, board: BoardFit, changes: Sequence[Remedy]) -> None:
    """Print one board in detail: figures, memories, what to change, and the inputs of the estimates."""
    output.line(f"{_title(sketch)}, on {board.board.name}", style="bold")
    output.line(board.board.description)
    output.line("")
    output.table(["", *FORMATS], [[name, *cells] for name, cells in _figures(sketch, board)])
    for line in _largest(sketch, board):
        output.line(line)
    for rows in memories(board):
        _show_memory(output, rows)
    if any(fit.parts for fit in board.formats.values()):
        output.line("Counted; but program and variables are bounds, and core is what the board's own software takes.")
    for line in _estimated(sketch):
        output.line(line)
    _show_changes(output, board, changes)
    output.line("")
    for line in inputs(sketch, board):
        output.line(line, indent=2)


def _show_changes(output: Output, board: BoardFit, changes: Sequence[Remedy]) -> None:
    if board.unknown and not changes:
        return
    helps, here = any(each.fit.fits for each in changes), board.best is not None
    output.line("")
    if not helps:
        what = (
            "makes it faster here, or its context longer"
            if here
            else "makes it fit, and no chip that is described has room for it"
        )
        output.line(f"Nothing that tinyllm knows of {what}.")
    if changes:
        what = "what helps" if helps else "what comes nearer"
        output.table([what, "fits", "context", "tokens/s", "mJ/token"], [_change(each) for each in changes])
        if any("int4" in each.change or "mixed" in each.change or "--kv-cache" in each.change for each in changes):
            output.line("Fewer bits cost quality: `tinyllm eval` with --variants says how much.", indent=2)


def _figures(sketch: Sketch, board: BoardFit) -> Iterator[tuple[str, list[str]]]:
    fits = [board.formats[weights] for weights in FORMATS]
    yield "fits", [_verdict(fit) for fit in fits]
    if any(fit.fits and fit.context != sketch.context for fit in fits):
        yield "with context", [str(fit.context) if fit.fits else NONE for fit in fits]
    yield "longest context", [f"{fit.longest_context:,}" if fit.fits else NONE for fit in fits]
    if any(fit.needs.weights_in == PARTITION for fit in fits):
        yield "weights lie", [BESIDE if fit.needs.weights_in == PARTITION else INSIDE for fit in fits]
    if not any(fit.decode for fit in fits):
        return
    yield "tokens/s halfway", [_rate(fit.decode) for fit in fits]
    yield "  computing, ms", [f"{fit.decode.estimate.compute_ms:,.2f}" if fit.decode else NONE for fit in fits]
    yield (
        "  waiting for memory, ms",
        [f"{fit.decode.estimate.transfer_ms:,.2f}" if fit.decode else NONE for fit in fits],
    )
    yield f"tokens/s of a prompt of {PROMPT}", [_rate(fit.prefill) for fit in fits]
    if not any(fit.decode and fit.decode.millijoules for fit in fits):
        return
    yield "mJ a token", [_energy(fit.decode) for fit in fits]
    for battery in BATTERIES:
        tokens = [_charge(fit.decode, battery.name) for fit in fits]
        yield f"tokens of {battery.name} ({battery.watt_hours:g} Wh)", tokens


def _largest(sketch: Sketch, board: BoardFit) -> Iterator[str]:
    """The largest models of this width that the board holds, with the context of the table."""
    if board.board.memory is None:
        return
    held = []
    for name, found in largest_models(sketch, board).items():
        if found is not None:
            blocks = f"{found.blocks} block{'s' * (found.blocks != 1)}{' or more' if found.at_least else ''}"
            held.append(f"{blocks} as {name} ({found.parameters / 1e6:,.1f} million parameters)")
    context = sketch.context if board.best is None else board.best.context
    room_for = " and ".join(held) or "not even one block"
    yield f"Of models as wide as this one there is room for {room_for}, with context {context}."


def _verdict(fit: Fit) -> str:
    if fit.fits or not fit.known:
        return "yes" if fit.fits else "unknown"
    return f"no, {_shortage(fit)}"


def _shortage(fit: Fit) -> str:
    """The memory that is too small, and how many times it is needed."""
    memory, times = fit.fullest or ("", 0.0)
    # In the table, flash for weights is just flash.
    return "no place for weights" if fit.lacks_place else f"{memory.split()[0]} x{short(times)}"


def _show_memory(output: Output, rows: Mapping[str, MemoryParts]) -> None:
    """Print a bar for each format, as long as the memory, or longer if the memory is too small."""
    names = list(dict.fromkeys(name for row in rows.values() for name in row.parts))
    names += [FREE] * any(row.free for row in rows.values()) + [LACKING] * any(row.lacking for row in rows.values())
    first = next(iter(rows.values()))
    output.line("")
    whose = "" if first.memory == FLASH_BESIDE else " for a program and its core"
    output.line(f"{first.memory}: {kilobytes(first.bytes)}{whose}", style="bold")
    output.bars(
        [(weights, lengths(row, names)) for weights, row in rows.items()],
        STYLES,
        [f"{kilobytes(row.lacking or row.free)} {LACKING if row.lacking else FREE}" for row in rows.values()],
    )


def lengths(row: MemoryParts, names: Sequence[str]) -> dict[str, float]:
    """The length of each part of a bar: the program's up to the end of the memory, then free or lacking bytes."""
    left, found = row.bytes, {}
    for name in names:
        if name in (FREE, LACKING):
            found[name] = float(row.free if name == FREE else row.lacking)
        else:
            found[name] = float(min(row.parts.get(name, 0), left))
            left -= int(found[name])
    return found


def _change(each: Remedy) -> list[str]:
    fit = each.fit
    return [each.change, _verdict(fit), f"{fit.context:,}", _rate(fit.decode), _energy(fit.decode)]


def inputs(sketch: Sketch, board: BoardFit) -> Iterator[str]:
    """Lines with the inputs of the estimates, and their sources."""
    described, chip, costs = board.board, board.chip, board.costs
    if chip is not None and costs is not None:
        yield (
            f"Estimated from: {chip.clock_mhz} MHz; {chip.cycles_per_instruction:g} cycles an instruction "
            f"({chip.cycles_source}); instructions fitted to counts of random models on the virtual {costs.board}; "
            f"{_speeds(described)} ({chip.bandwidth.source})."
        )
        if costs.half_assumed:
            yield f"Of {costs.cores} cores each is assumed to do half of the matrices and of the attention."
        if costs.int4_assumed:
            yield f"A multiplication of int4 weights is assumed to take {INT4_MAC:g} times one of int8."
    if any(fit.decode and fit.needs.state_in == "PSRAM" for fit in board.formats.values()):
        yield "The vectors of a token lie in PSRAM; what that costs is left out, so it is slower than estimated."
    if described.power is not None:
        yield f"Energy: {described.power.busy_mw} mW while it computes ({described.power.source})."
        cells = "; ".join(f"{each.name}: {each.source}" for each in BATTERIES)
        yield f"Batteries: {cells}. All of the charge reaches the board; a converter takes a tenth or two."
    if board.unknown:
        yield f"Some figures are unknown, because {board.unknown}."
    if sketch.tokenizer is None:
        yield f"The vocabulary's bytes are estimated. {sketch.no_tokenizer}"


def _speeds(board: Board) -> str:
    speeds = board.bandwidth
    read = {"flash": speeds and speeds.flash, "PSRAM": speeds and speeds.psram}
    return ", ".join(f"{memory} at {speed} MB/s" for memory, speed in read.items() if speed)


def _rate(speed: Speed | None) -> str:
    return NONE if speed is None else format_rate(speed.tokens_per_second)


def _energy(speed: Speed | None) -> str:
    return NONE if speed is None or speed.millijoules is None else f"{speed.millijoules:.3g}"


def _charge(speed: Speed | None, battery: str, brief: bool = False) -> str:
    tokens = speed.tokens_per_charge.get(battery) if speed else None
    return NONE if tokens is None else many(tokens, "M" if brief else " million")


def short(times: float) -> str:
    """A factor in about two digits; at least 1.01, so that it never looks as if the model fitted."""
    return f"{max(times, 1.01):.2f}" if times < 1.1 else f"{times:.1f}" if times < 10 else f"{times:,.0f}"


def many(tokens: int, million: str) -> str:
    """A large number of tokens."""
    return f"{tokens / 1e6:,.1f}{million}" if tokens >= 1e6 else f"{tokens:,}"
