"""Computes for a model on a board: bytes needed and available, the longest context, speed and energy.

Bytes come from the planner that builds use, so a build has the same. Speed is estimated: instructions by
host/prove/costs.py, seconds by host/prove/estimate.py. It is unknown if the board's file lacks a figure for it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tinyllm.boards.board import HOST, Board
from tinyllm.codegen.arithmetic.float_model import LARGEST_CONTEXT
from tinyllm.codegen.arithmetic.integer_model import IntegerModel
from tinyllm.codegen.kernels.choose import kernel_set_of
from tinyllm.codegen.memory.fit import largest_context
from tinyllm.codegen.memory.parts import MemoryParts, memory_parts
from tinyllm.codegen.memory.plan import (
    FLASH,
    FLASH_BESIDE,
    PARTITION,
    PSRAM,
    SRAM,
    Bytes,
    MemoryNeeds,
    memory_needs,
    room,
)
from tinyllm.codegen.memory.traffic import Traffic, prefill_traffic, traffic
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer
from tinyllm.host.fit.batteries import BATTERIES
from tinyllm.host.fit.weights import outlines
from tinyllm.host.model.sketch import Sketch
from tinyllm.host.model.weights import Kind
from tinyllm.host.prove.costs import Costs, costs_of
from tinyllm.host.prove.estimate import Chip, Estimate
from tinyllm.host.virtual.parts import Part

MEMORIES = (FLASH, FLASH_BESIDE, SRAM, PSRAM)
"""The memories, in the order in which they are shown."""
PROMPT = 64
"""Tokens of the prompt whose speed is estimated; if the context is shorter, as many as it has."""


@dataclass(frozen=True)
class Speed:
    """The estimated cost of one token.

    position: the mean position of such tokens. instructions: of the core that executes most. bytes: read and written,
    by memory. batch: tokens that share one reading of the weights. millijoules: None if the board's power is unknown.
    """

    position: float
    instructions: float
    parts: dict[Part, float]
    bytes: dict[str, int]
    batch: int
    estimate: Estimate
    millijoules: float | None

    @property
    def tokens_per_second(self) -> float:
        return self.estimate.tokens_per_second

    @property
    def tokens_per_charge(self) -> dict[str, int]:
        """The tokens for one charge of each battery; {} if the energy is unknown."""
        if self.millijoules is None:
            return {}
        return {battery.name: battery.tokens(self.millijoules) for battery in BATTERIES}


@dataclass(frozen=True)
class Fit:
    """A model with weights of one format on one board.

    context: positions of the KV cache: those wanted; if the person chose none and they do not fit, the most that fit.
    needs: the bytes at that context. room: the board's bytes, with the weights where `needs` has them; None for this
    computer, and for a board whose file does not say. longest_context: the most positions that fit, up to what the
    model was trained for; None if none fits. decode: speed of a token halfway through the context. prefill: speed of a
    token of a prompt. Both are None if the model does not fit or a figure is missing.
    """

    weights: str
    on_host: bool
    model: IntegerModel
    context: int
    needs: MemoryNeeds
    room: Bytes | None
    parts: list[MemoryParts]
    longest_context: int | None
    decode: Speed | None
    prefill: Speed | None

    @property
    def fits(self) -> bool:
        """Whether the model fits. Also False if that is unknown."""
        return (self.room is not None and self.needs.total.fits(self.room)) or self.on_host

    @property
    def known(self) -> bool:
        """Whether it is known if the model fits."""
        return self.room is not None or self.on_host

    @property
    def fullest(self) -> tuple[str, float] | None:
        """The memory that is filled most, and the bytes needed as a multiple of its room; None if `room` is."""
        return None if self.room is None else self.needs.total.fullest(self.room)

    @property
    def lacks_place(self) -> bool:
        """Whether the weights must lie beside the program but the board has no place for them."""
        return self.room is not None and self.needs.weights_in == PARTITION and not self.room.weights


@dataclass(frozen=True)
class BoardFit:
    """A model on one board. formats: its Fit with each format of the weights.

    unknown: why speed or energy is not estimated; "" if both are. chosen: the format that a person chose, None if any
    will do.
    """

    board: Board
    formats: dict[str, Fit]
    chip: Chip | None
    costs: Costs | None
    unknown: str
    chosen: Kind | None = None

    @property
    def best(self) -> Fit | None:
        """The Fit with the chosen weights, else with the most accurate ones that fit; None if they do not fit."""
        fits = self.formats.values() if self.chosen is None else [self.formats[self.chosen]]
        return next((fit for fit in fits if fit.fits), None)


def memories(board: BoardFit) -> list[dict[str, MemoryParts]]:
    """For each memory of a board, how each format of the weights fills it.

    If the weights lie in the program in one format and beside it in another, the program's flash counts as two
    memories, because its size differs.
    """
    found: dict[tuple[str, int], dict[str, MemoryParts]] = {}
    for weights, fit in board.formats.items():
        for part in fit.parts:
            found.setdefault((part.memory, part.bytes), {})[weights] = part
    return [found[key] for key in sorted(found, key=lambda key: MEMORIES.index(key[0]))]


def fit_board(sketch: Sketch, board: Board) -> BoardFit:
    """Compute how the model of a sketch fits a board."""
    chip, costs = Chip.of(board), costs_of(board)
    models = outlines(sketch)
    trained = min(sketch.config.context, LARGEST_CONTEXT)
    fits = {
        weights: fit_model(weights, model, sketch.pieces, board, trained, not sketch.context_chosen, sketch.weights_in)
        for weights, model in models.items()
    }
    return BoardFit(board, fits, chip, costs, _unknown(board, costs), sketch.chosen)


def fit_model(
    weights: str,
    model: IntegerModel,
    tokenizer: Tokenizer,
    board: Board,
    trained: int,
    shorten: bool,
    weights_in: str | None = None,
) -> Fit:
    """Compute how a model fits a board.

    trained: the longest context to look for. shorten: take less context if the model's does not fit. weights_in: as
    memory_needs takes it.
    """
    needs = memory_needs(model, tokenizer, board, weights_in)
    longest = largest_context(_with_context(model, trained), tokenizer, board, weights_in)
    if not needs.fits(board) and shorten and longest:
        model = _with_context(model, longest)
        needs = memory_needs(model, tokenizer, board, weights_in)
    fit = Fit(
        weights=weights,
        on_host=board.name == HOST,
        model=model,
        context=model.config.context,
        needs=needs,
        room=room(board, needs.weights_in),
        parts=memory_parts(needs, board),
        longest_context=longest,
        decode=None,
        prefill=None,
    )
    if not fit.fits or fit.on_host:
        return fit
    return replace(fit, decode=decode_speed(fit, board), prefill=prefill_speed(fit, board))


def _with_context(model: IntegerModel, context: int) -> IntegerModel:
    return replace(model, config=replace(model.config, context=context))


def decode_speed(fit: Fit, board: Board) -> Speed | None:
    """The speed of a token that is generated halfway through the context; None if a figure is missing."""
    costs = costs_of(board)
    if costs is None:
        return None
    position = (fit.context - 1) / 2
    moved = traffic(fit.model, fit.needs, position, kernel_set_of(board))
    return _speed(board, costs, costs.of_decode(fit.model, position), moved, position, batch=1)


def prefill_speed(fit: Fit, board: Board) -> Speed | None:
    """The speed of a token in a first prompt of PROMPT tokens; None if a figure is missing."""
    costs = costs_of(board)
    if costs is None:
        return None
    position, batch = (min(PROMPT, fit.context) - 1) / 2, fit.needs.plan.batch
    moved = prefill_traffic(fit.model, fit.needs, position, kernel_set_of(board))
    count = (costs.of_prefill if batch > 1 else costs.of_single)(fit.model, position)
    return _speed(board, costs, count, moved, position, batch)


def _speed(
    board: Board, costs: Costs, parts: dict[Part, float], moved: Traffic, position: float, batch: int
) -> Speed | None:
    chip = Chip.of(board)
    if chip is None or chip.lacks_speed_of(moved.by_memory):
        return None
    instructions = costs.way(parts)
    estimate = Estimate(
        costs.cores,
        chip.compute_ms(instructions, "instructions"),
        chip.transfer_ms(moved.by_memory),
        costs.half_assumed,
    )
    energy = None if board.power is None else board.power.busy_mw / estimate.tokens_per_second
    return Speed(position, instructions, parts, moved.by_memory, batch, estimate, energy)


def _unknown(board: Board, costs: Costs | None) -> str:
    if board.name == HOST:
        return "this computer's speed is measured: `tinyllm bench`"
    if costs is None:
        return f"nobody has counted the kernels for {board.instruction_set}"
    figures: dict[str, object] = {
        "[memory]": board.memory,
        "clock_mhz": board.clock_mhz,
        "[cycles]": board.cycles,
        "[bandwidth]": board.bandwidth,
        "[power]": board.power,
    }
    if speeds := board.bandwidth:
        figures |= {"flash in [bandwidth]": speeds.flash}
        if board.memory and board.memory.psram:
            figures |= {"psram in [bandwidth]": speeds.psram}
    missing = [name for name, value in figures.items() if value is None]
    return f"its file has no {', '.join(missing)}" if missing else ""
