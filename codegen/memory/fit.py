"""Whether a model fits a board, before anything is compiled: what it needs, what there is, and what would fit.

The tables and the state are counted (codegen/memory/plan.py). What the engine and the console add, and what the board's
framework takes, are estimated: the first from a bound that the tests hold against the cross-compilers' objects, the
second from the board's description, which names its source.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tinyllm.boards.description import Board, board_names, load_board
from tinyllm.codegen.arithmetic.integer_model import SMALLEST_CONTEXT, IntegerModel
from tinyllm.codegen.memory.placement import state_in_psram, static_room, variable_bytes
from tinyllm.codegen.memory.plan import matrix_bytes, plan_memory
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer
from tinyllm.errors import TinyllmError, UserError

CODE_BYTES = 40 * 1024
"""Bound of the code and small constants of engine, console and port, on any instruction set at -O2."""

PSRAM_RESERVE = 64 * 1024
"""Of PSRAM, for the framework's heap: estimated."""

CONTEXT_STEP = 8


@dataclass(frozen=True)
class Bytes:
    """Of flash, of RAM for static variables, and of PSRAM."""

    flash: int
    ram: int
    psram: int = 0

    def fits(self, room: Bytes) -> bool:
        return self.flash <= room.flash and self.ram <= room.ram and self.psram <= room.psram


def needs(model: IntegerModel, tokenizer: Tokenizer, board: Board | None = None) -> Bytes:
    """What the program takes without the framework: tables and state counted, the rest bounded.

    The state is in RAM, on a `board` whose RAM is too small for it in PSRAM, where there is some.
    """
    plan = plan_memory(model, tokenizer)
    flash, variables = sum(plan.flash.values()) + CODE_BYTES, variable_bytes(model, tokenizer)
    if board is not None and state_in_psram(model, tokenizer, board):
        return Bytes(flash, ram=variables, psram=plan.state_bytes)
    return Bytes(flash, ram=plan.state_bytes + variables)


def room(board: Board) -> Bytes | None:
    """What a board has for a program and its variables, less what its framework takes; None: no limit known."""
    ram = static_room(board)
    if board.memory is None or ram is None:
        return None
    flash = board.memory.app - (board.reserve.flash if board.reserve else 0)
    return Bytes(flash=max(flash, 0), ram=ram, psram=max(board.memory.psram - PSRAM_RESERVE, 0))


def check_fits(model: IntegerModel, tokenizer: Tokenizer, board: Board) -> None:
    """Raise UserError where the model does not fit the board: what is short, and what would fit."""
    space = room(board)
    wanted = needs(model, tokenizer, board)
    if space is None or wanted.fits(space):
        return
    short = [
        f"{_kb(have_to_have)} of {name} (estimated), there are {_kb(there)}"
        for name, have_to_have, there in (
            ("flash", wanted.flash, space.flash),
            ("RAM", wanted.ram, space.ram),
            ("PSRAM", wanted.psram, space.psram),
        )
        if have_to_have > there
    ]
    context = largest_context(model, tokenizer, board)
    advice = [f"--context {context}"] if context else []
    if others := [name for name in board_names() if _takes(name, board, model, tokenizer)]:
        advice.append(f"--board {' or '.join(others)}")
    what = f"{model.config.name} with context {model.config.context} does not fit {board.name}: it needs "
    raise UserError(
        f"{what}{' and '.join(short)}{' beside the core' if board.reserve else ''}.\n"
        + (f"It fits with {', or with '.join(advice)}." if advice else "No board that is described has room for it.")
        + _vocabulary_advice(model, wanted, space)
    )


def _vocabulary_advice(model: IntegerModel, wanted: Bytes, space: Bytes) -> str:
    """What to try where most of a memory that is short is the vocabulary's: rows of embedding and head, logits."""
    rows = matrix_bytes(model.embedding) + (matrix_bytes(model.head) if model.head is not None else 0)
    logits = 4 * model.config.vocab_size
    if (wanted.flash > space.flash and 2 * rows > wanted.flash) or (wanted.ram > space.ram and 2 * logits > wanted.ram):
        return f" Most of it is for {model.config.vocab_size:,} tokens: --trim-vocab FILE keeps what a text needs."
    return ""


def largest_context(model: IntegerModel, tokenizer: Tokenizer, board: Board) -> int | None:
    """The largest context below the model's, a multiple of CONTEXT_STEP, that fits; None where none does."""
    low, high = SMALLEST_CONTEXT // CONTEXT_STEP, model.config.context // CONTEXT_STEP
    found, space = None, room(board)
    while low <= high:
        middle = (low + high) // 2
        smaller = replace(model, config=replace(model.config, context=middle * CONTEXT_STEP))
        if space is None or needs(smaller, tokenizer, board).fits(space):
            found, low = middle * CONTEXT_STEP, middle + 1
        else:
            high = middle - 1
    return found


def _takes(name: str, instead_of: Board, model: IntegerModel, tokenizer: Tokenizer) -> bool:
    """Whether the board of that name has room, or its twin where a twin is to be replaced.

    A board whose description is wrong is not this error's matter.
    """
    try:
        board = load_board(name)
        if instead_of.emulator is not None:
            board = board.twin()
    except TinyllmError:
        return False
    space = room(board)
    return board.name != instead_of.name and space is not None and needs(model, tokenizer, board).fits(space)


def _kb(size: int) -> str:
    return f"{-(-size // 1024):,} KB"
