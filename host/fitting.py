"""Whether a model fits a board, before anything is compiled: what it needs, what there is, and what would fit.

The tables and the state are counted (codegen/plan.py). What the engine and the console add, and what the board's
framework takes, are estimated: the first from a bound that the tests hold against the cross-compilers' objects, the
second from the board's description, which names its source.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tinyllm.boards.errors import TinyllmError, UserError
from tinyllm.boards.loader import Board, board_names, load_board
from tinyllm.codegen.integer_model import IntegerModel
from tinyllm.codegen.plan import plan_memory
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer

CODE_BYTES = 40 * 1024
"""Bound of the code and small constants of engine, console and port, on any instruction set at -O2."""

SMALL_VARIABLES = 1024
"""Bound of the variables of engine, console and port whose size does not depend on the model."""

CONTEXT_STEP = 8
SMALLEST_CONTEXT = 8


@dataclass(frozen=True)
class Bytes:
    """Of flash, and of RAM for static variables."""

    flash: int
    ram: int

    def fits(self, room: Bytes) -> bool:
        return self.flash <= room.flash and self.ram <= room.ram


def needs(model: IntegerModel, tokenizer: Tokenizer) -> Bytes:
    """What the program takes without the framework: tables and state counted, the rest bounded.

    The variables that grow: the frame or line that is received, the tokens of a prompt and the links between them while
    it is encoded, and the history and recent tokens of the session.
    """
    plan = plan_memory(model, tokenizer)
    token = 2 if tokenizer.vocab_size <= 0xFFFF else 4
    received = max(plan.text_max, 4 * model.config.context)
    variables = received + 2 * token * (plan.text_max + model.config.context) + SMALL_VARIABLES
    return Bytes(flash=sum(plan.flash.values()) + CODE_BYTES, ram=plan.state_bytes + variables)


def room(board: Board) -> Bytes | None:
    """What a board has for a program and its static variables, less what its framework takes; None: no limit known."""
    if board.memory is None:
        return None
    flash, ram = (board.reserve.flash, board.reserve.ram) if board.reserve else (0, 0)
    return Bytes(flash=max(board.memory.app - flash, 0), ram=max(board.memory.static - ram, 0))


def check_fits(model: IntegerModel, tokenizer: Tokenizer, board: Board) -> None:
    """Raise UserError where the model does not fit the board: what is short, and what would fit."""
    space = room(board)
    wanted = needs(model, tokenizer)
    if space is None or wanted.fits(space):
        return
    short = [
        f"{_kb(have_to_have)} of {name} (estimated), there are {_kb(there)}"
        for name, have_to_have, there in (("flash", wanted.flash, space.flash), ("RAM", wanted.ram, space.ram))
        if have_to_have > there
    ]
    context = largest_context(model, tokenizer, space)
    advice = [f"--context {context}"] if context else []
    if others := [name for name in board_names() if name != board.name and _takes(name, wanted)]:
        advice.append(f"--board {' or '.join(others)}")
    what = f"{model.config.name} with context {model.config.context} does not fit {board.name}: it needs "
    raise UserError(
        f"{what}{' and '.join(short)} beside the core.\n"
        + (f"It fits with {', or with '.join(advice)}." if advice else "No board that is described has room for it.")
    )


def largest_context(model: IntegerModel, tokenizer: Tokenizer, space: Bytes) -> int | None:
    """The largest context below the model's, a multiple of CONTEXT_STEP, that fits; None where none does."""
    low, high = SMALLEST_CONTEXT // CONTEXT_STEP, model.config.context // CONTEXT_STEP
    found = None
    while low <= high:
        middle = (low + high) // 2
        smaller = replace(model, config=replace(model.config, context=middle * CONTEXT_STEP))
        if needs(smaller, tokenizer).fits(space):
            found, low = middle * CONTEXT_STEP, middle + 1
        else:
            high = middle - 1
    return found


def _takes(name: str, wanted: Bytes) -> bool:
    """Whether the board of that name has room; a board whose description is wrong is not this error's matter."""
    try:
        space = room(load_board(name))
    except TinyllmError:
        return False
    return space is not None and wanted.fits(space)


def _kb(size: int) -> str:
    return f"{-(-size // 1024):,} KB"
