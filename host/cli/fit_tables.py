"""What the verb fit shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tinyllm.host.fit.batteries import BATTERIES
from tinyllm.host.fit.fits import PROMPT, BoardFit, Fit, Speed
from tinyllm.host.fit.weights import FORMATS
from tinyllm.host.link.answer import format_rate
from tinyllm.host.model.sketch import Sketch
from tinyllm.host.output import Output

WIDE = 116
"""Columns from which on the table has all of its columns."""


def show_boards(output: Output, sketch: Sketch, boards: Sequence[BoardFit]) -> None:
    """A row for each board."""
    output.line(_title(sketch), style="bold")
    wide = output.columns is None or output.columns >= WIDE
    more = ["prefill", BATTERIES[0].name, "flash", "SRAM", "PSRAM"] if wide else []
    output.table(
        ["board", *FORMATS, "max context", "mJ", *more],
        [
            [
                each.board.name,
                *(_cell(each.formats[weights], sketch.context) for weights in FORMATS),
                *_rest(each, wide),
            ]
            for each in boards
        ],
    )


def _title(sketch: Sketch) -> str:
    return f"{sketch.config.name}, {sketch.facts.n_parameters:,} parameters, context {sketch.context}"


def _cell(fit: Fit, wanted: int) -> str:
    """Tokens per second, or how many times the fullest memory is too small."""
    if not fit.fits:
        memory, times = fit.fullest or ("", 0.0)
        return f"{memory} x{short(times)}"
    speed = format_rate(fit.decode.tokens_per_second) if fit.decode else "fits"
    return speed if fit.context == wanted else f"{speed} at {fit.context}"


def _rest(each: BoardFit, wide: bool) -> list[str]:
    best = each.best
    if best is None:
        return ["-"] * (7 if wide else 2)
    decode, prefill = best.decode, best.prefill
    row = [f"{best.longest_context:,}", _millijoules(decode)]
    if wide:
        tokens = decode.tokens_per_charge.get(BATTERIES[0].name) if decode else None
        row += [format_rate(prefill.tokens_per_second) if prefill else "-", "-" if tokens is None else many(tokens)]
        filled = {memory.memory: memory.taken / memory.bytes for memory in best.parts}
        row += [f"{filled[name]:.0%}" if name in filled else "-" for name in ("flash", "SRAM", "PSRAM")]
    return row


def _millijoules(speed: Speed | None) -> str:
    return "-" if speed is None or speed.millijoules is None else f"{speed.millijoules:.3g}"


def short(times: float) -> str:
    """A factor in two digits or so."""
    return f"{times:.1f}" if times < 10 else f"{times:,.0f}"


def many(tokens: int) -> str:
    """A large number of tokens in words."""
    return f"{tokens / 1e6:.1f} million" if tokens >= 1e6 else f"{tokens:,}"


def show_board(output: Output, sketch: Sketch, board: BoardFit) -> None:
    """One board in detail."""
    show_boards(output, sketch, [board])


def document(sketch: Sketch, boards: Sequence[BoardFit]) -> dict[str, Any]:
    """For programs."""
    return {
        "model": sketch.config.name,
        "path": str(sketch.path),
        "parameters": sketch.facts.n_parameters,
        "context": sketch.context,
        "trained_context": sketch.config.context,
        "prompt": PROMPT,
        "tokenizer": sketch.tokenizer_path and str(sketch.tokenizer_path),
        "no_tokenizer": sketch.no_tokenizer,
        "batteries": [asdict(battery) for battery in BATTERIES],
        "boards": [_board_document(each) for each in boards],
    }


def _board_document(each: BoardFit) -> dict[str, Any]:
    return {
        "board": each.board.name,
        "unknown": each.unknown,
        "formats": {name: _fit_document(fit) for name, fit in each.formats.items()},
    }


def _fit_document(fit: Fit) -> dict[str, Any]:
    memory, times = fit.fullest or (None, None)
    return {
        "fits": fit.fits,
        "context": fit.context,
        "longest_context": fit.longest_context,
        "decode": _speed_document(fit.decode),
        "prefill": _speed_document(fit.prefill),
        "needed": asdict(fit.needs.total),
        "room": fit.room and asdict(fit.room),
        "fullest": memory,
        "times_its_room": times,
    }


def _speed_document(speed: Speed | None) -> dict[str, Any] | None:
    if speed is None:
        return None
    return {
        "tokens_per_second": speed.tokens_per_second,
        "position": speed.position,
        "batch": speed.batch,
        "compute_ms": speed.estimate.compute_ms,
        "transfer_ms": speed.estimate.transfer_ms,
        "cores": speed.estimate.cores,
        "half_assumed": speed.estimate.half_assumed,
        "instructions": speed.instructions,
        "parts": {part.title: count for part, count in speed.parts.items()},
        "bytes": speed.bytes,
        "millijoules": speed.millijoules,
        "tokens_per_charge": speed.tokens_per_charge,
    }
