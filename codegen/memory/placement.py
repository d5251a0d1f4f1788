"""Where the state lies: in SRAM, or in PSRAM where the board has some and the SRAM is too small."""

from __future__ import annotations

from tinyllm.boards.description import Board
from tinyllm.codegen.arithmetic.integer_model import IntegerModel
from tinyllm.codegen.memory.plan import plan_memory
from tinyllm.codegen.tokenizers.tables import lay_out
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer

SMALL_VARIABLES = 1024
"""Bound of the variables of engine, console and port whose size does not depend on the model."""


def variable_bytes(model: IntegerModel, tokenizer: Tokenizer) -> int:
    """Bound of the variables of engine, console and port, in bytes: they are in SRAM wherever the state is.

    Those that grow: the frame or line that is received, what the encoder needs, the tokens of a prompt and of the
    session's history, a bit for each token of the vocabulary, and where there is a chat template a text with its own.
    """
    text_max, context = plan_memory(model, tokenizer).text_max, model.config.context
    tables = lay_out(tokenizer)
    template = 0 if model.config.chat_template is None else text_max
    growing = max(text_max, 4 * context) + tables.scratch(text_max) + 2 * tables.token_bytes * context + template
    return growing + tokenizer.vocab_size // 8 + SMALL_VARIABLES


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
