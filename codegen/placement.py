"""Where the state lies: in SRAM, or in PSRAM where the board has some and the SRAM is too small."""

from __future__ import annotations

from tinyllm.boards.loader import Board
from tinyllm.codegen.integer_model import IntegerModel
from tinyllm.codegen.plan import plan_memory
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer

SMALL_VARIABLES = 1024
"""Bound of the variables of engine, console and port whose size does not depend on the model."""


def variable_bytes(model: IntegerModel, tokenizer: Tokenizer) -> int:
    """Bound of the variables of engine, console and port, in bytes: they are in SRAM wherever the state is.

    Those that grow: the frame or line that is received, the tokens of a prompt and the links between them while it is
    encoded, the history and recent tokens of the session, and where there is a chat template a text with its own.
    """
    text_max, context = plan_memory(model, tokenizer).text_max, model.config.context
    token = 2 if tokenizer.vocab_size <= 0xFFFF else 4
    template = 0 if model.config.chat_template is None else text_max
    return max(text_max, 4 * context) + 2 * token * (text_max + context) + template + SMALL_VARIABLES


def static_room(board: Board) -> int | None:
    """Bytes of SRAM for static variables, less what the framework takes; None: no limit known."""
    if board.memory is None:
        return None
    return max(board.memory.static - (board.reserve.ram if board.reserve else 0), 0)


def state_in_psram(model: IntegerModel, tokenizer: Tokenizer, board: Board) -> bool:
    """Whether the state goes to the board's PSRAM, for it does not fit the SRAM beside the variables."""
    room = static_room(board)
    if room is None or board.memory is None or not board.memory.psram:
        return False
    return plan_memory(model, tokenizer).state_bytes + variable_bytes(model, tokenizer) > room
