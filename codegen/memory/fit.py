"""Check before compiling whether a model fits a board; if not, say which memory is too small and what would fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tinyllm.boards.description import Board, board_names, load_board
from tinyllm.boards.families import one_of_each_chip
from tinyllm.codegen.arithmetic.integer_model import IntegerMatrix, IntegerModel
from tinyllm.codegen.memory.outline import outline
from tinyllm.codegen.memory.plan import (
    FLASH_BESIDE,
    PARTITION,
    Bytes,
    MemoryNeeds,
    fits_board,
    matrix_bytes,
    memory_needs,
    room,
)
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer
from tinyllm.errors import TinyllmError, UserError

CONTEXT_STEP = 8
"""The contexts that are suggested are multiples of this."""


def check_fits(model: IntegerModel, tokenizer: Tokenizer, board: Board, weights_in: str | None = None) -> MemoryNeeds:
    """The bytes that the model takes on the board, with the weights where memory_needs puts them.

    Raises UserError with advice if it does not fit, or if weights_in is PARTITION and the board has no place for
    weights beside the program.
    """
    if weights_in == PARTITION:
        check_place_beside(board, "--weights-in partition")
    needs = memory_needs(model, tokenizer, board, weights_in)
    space = room(board, needs.weights_in)
    if space is None or needs.total.fits(space):
        return needs
    raise UserError(_refusal(model, tokenizer, board, needs.total, space))


def check_place_beside(board: Board, option: str) -> None:
    """Raise UserError, which names the option to leave out, if a board has no place for weights beside the program.

    A board whose description says nothing of its memory may have one.
    """
    if board.weights is None and board.memory is not None:
        raise UserError(
            f"board {board.name} has no place for weights beside the program: its description has no [weights] "
            f"(docs/weights-image.md). Leave {option} out."
        )


def context_that_fits(model: IntegerModel, tokenizer: Tokenizer, board: Board, weights_in: str | None = None) -> int:
    """The largest context that fits the board, at most the model's; the model's own if none fits."""
    if fits_board(model, tokenizer, board, weights_in):
        return model.config.context
    return largest_context(model, tokenizer, board, weights_in) or model.config.context


def largest_context(
    model: IntegerModel, tokenizer: Tokenizer, board: Board, weights_in: str | None = None
) -> int | None:
    """The model's own context if it fits, else the largest multiple of CONTEXT_STEP that does; None if none fits."""

    def fits(context: int) -> bool:
        smaller = replace(model, config=replace(model.config, context=context))
        return fits_board(smaller, tokenizer, board, weights_in)

    if fits(model.config.context):
        return model.config.context
    low, high = -(-model.config.smallest_context // CONTEXT_STEP), (model.config.context - 1) // CONTEXT_STEP
    if low > high or not fits(low * CONTEXT_STEP):
        return None
    while low < high:
        middle = (low + high + 1) // 2
        if fits(middle * CONTEXT_STEP):
            low = middle
        else:
            high = middle - 1
    return low * CONTEXT_STEP


def _refusal(model: IntegerModel, tokenizer: Tokenizer, board: Board, wanted: Bytes, space: Bytes) -> str:
    short = [
        f"{_kb(needed)} of {name} (estimated), there are {_kb(there)}"
        for name, needed, there in (
            ("flash", wanted.flash, space.flash),
            ("RAM", wanted.ram, space.ram),
            ("PSRAM", wanted.psram, space.psram),
            (FLASH_BESIDE, wanted.weights, space.weights),
        )
        if needed > there
    ]
    context = largest_context(model, tokenizer, board)
    advice = [f"--context {context}"] if context else []
    advice += [option for option, smaller in _smaller_forms(model) if fits_board(smaller, tokenizer, board)]
    if others := one_of_each_chip(list(_with_room(board, model, tokenizer))):
        advice.append(f"--board {' or '.join(other.name for other in others)}")
    what = f"{model.config.name} with context {model.config.context} does not fit {board.name}: it needs "
    return (
        f"{what}{' and '.join(short)}{' beside the core' if board.reserve else ''}.\n"
        + (f"It fits with {', or with '.join(advice)}." if advice else "No board that is described has room for it.")
        + _vocabulary_advice(model, wanted, space)
        + ("" if board.emulator else f" `tinyllm fit` with --board {board.name} shows what else would help.")
    )


def _smaller_forms(model: IntegerModel) -> Iterator[tuple[str, IntegerModel]]:
    """The model with fewer bits, each form with the option that makes it."""
    config, block = model.config, model.blocks[0]
    if not model.has_int4:
        biases = tuple(name for name in ("bq", "bk", "bv", "bo") if getattr(block, name) is not None)
        names = [name for name, part in vars(block).items() if isinstance(part, IntegerMatrix)]
        yield (
            "--weights int4",
            outline(config, biases, [(at, name) for at in range(len(model.blocks)) for name in names]),
        )
    if (config.key_bits, config.value_bits) == (8, 8):
        yield "--kv-cache int4", replace(model, config=replace(config, key_bits=4, value_bits=4))


def _vocabulary_advice(model: IntegerModel, wanted: Bytes, space: Bytes) -> str:
    """The advice if the vocabulary takes most of a memory that is too small: rows of embedding and head, logits."""
    rows = matrix_bytes(model.embedding) + (matrix_bytes(model.head) if model.head is not None else 0)
    logits = 4 * model.config.vocab_size
    if (wanted.flash > space.flash and 2 * rows > wanted.flash) or (wanted.ram > space.ram and 2 * logits > wanted.ram):
        return f" Most of it is for {model.config.vocab_size:,} tokens: --trim-vocab FILE keeps what a text needs."
    return ""


def _with_room(instead_of: Board, model: IntegerModel, tokenizer: Tokenizer) -> Iterator[Board]:
    """The boards that have room. If `instead_of` is a twin, their twins must have room.

    Boards whose TOML is invalid are skipped.
    """
    for name in board_names():
        try:
            described = load_board(name)
            board = described.twin() if instead_of.emulator is not None else described
        except TinyllmError:
            continue
        there = board.name != instead_of.name and board.memory is not None
        if there and fits_board(model, tokenizer, board):
            yield described


def _kb(size: int) -> str:
    return f"{-(-size // 1024):,} KB"
