"""Finds the largest model for a board that is as wide as a given one, but has more or fewer blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tinyllm.boards.board import Board
from tinyllm.codegen.arithmetic.float_model import ModelConfig
from tinyllm.codegen.arithmetic.integer_model import IntegerGain, IntegerMatrix
from tinyllm.codegen.memory.outline import outline
from tinyllm.codegen.memory.plan import fits_board
from tinyllm.host.fit.fits import BoardFit
from tinyllm.host.model.budgets import MATRICES
from tinyllm.host.model.sketch import Sketch

MOST_BLOCKS = 256
"""The search ends at so many blocks."""


@dataclass(frozen=True)
class Largest:
    """The largest model. blocks: stored blocks. at_least: there may be room for more than MOST_BLOCKS."""

    blocks: int
    parameters: int
    at_least: bool


def largest_models(sketch: Sketch, fit: BoardFit) -> dict[str, Largest | None]:
    """The largest model with all blocks int8, and with all blocks int4; with the model's context on the board.

    None where not even one block fits, or if the board's memories are unknown.
    """
    context = sketch.context if fit.best is None else fit.best.context
    return {name: largest_model(sketch, fit.board, context, int4=name == "int4") for name in ("int8", "int4")}


def largest_model(sketch: Sketch, board: Board, context: int, int4: bool) -> Largest | None:
    """The largest model with a KV cache of `context` positions, and with all blocks int8 or all int4.

    None if not even one block fits, or if the board's memories are unknown.
    """
    if board.memory is None:
        return None

    def fits(blocks: int) -> bool:
        config = with_blocks(replace(sketch.config, context=context), blocks)
        narrow = [(block, name) for block in range(blocks) for name in MATRICES] if int4 else ()
        model = outline(config, sketch.facts.biases, frozenset(narrow))
        return fits_board(model, sketch.pieces, board, sketch.weights_in)

    blocks = _most(fits)
    if blocks == 0:
        return None
    more = blocks - len(set(sketch.config.schedule))
    return Largest(blocks, sketch.n_parameters + more * _block_parameters(sketch), blocks == MOST_BLOCKS)


def with_blocks(config: ModelConfig, blocks: int) -> ModelConfig:
    """The config with so many stored blocks. Each runs as often in a row as now, and windows alternate as now."""
    stored = len(set(config.schedule))
    times = config.n_layers // stored
    schedule = tuple(block for block in range(blocks) for _ in range(times))
    windows = tuple(config.windows[layer % len(config.windows)] for layer in range(len(schedule)) if config.windows)
    return replace(config, schedule=schedule, windows=windows)


def _most(fits: Callable[[int], bool]) -> int:
    """The largest number up to MOST_BLOCKS that fits, 0 if 1 does not. If a number fits, all smaller ones must fit."""
    low, high = 0, 1
    while high <= MOST_BLOCKS and fits(high):
        low, high = high, 2 * high
    high = min(high, MOST_BLOCKS + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _block_parameters(sketch: Sketch) -> int:
    block = outline(with_blocks(sketch.config, 1), sketch.facts.biases).blocks[0]
    parts = [part for part in vars(block).values() if part is not None]
    return sum(part.codes.size if isinstance(part, IntegerMatrix | IntegerGain) else part.size for part in parts)
