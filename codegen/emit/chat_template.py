"""The chat template as C tables: chat_template.h, and chat_template.c if a board can follow it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tinyllm.codegen.arithmetic.float_model import ModelConfig
from tinyllm.codegen.chat.derive import Unsuited, derive
from tinyllm.codegen.chat.plan import SPACES, ChatPlan
from tinyllm.codegen.emit.render import in_comment, render, rows
from tinyllm.codegen.tokenizers.encode.unicode_classes import WHITE_SPACE
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer

ROOM = 8
"""A board must have room for this many bytes of the user's text, and as many tokens, besides the template's own."""


def board_plan(config: ModelConfig, tokenizer: Tokenizer, text_max: int) -> ChatPlan | None:
    """What the board does with a chat turn; None for a model without a template.

    text_max: bytes that the board takes in one text. Raises Unsuited if the host must render the template.
    """
    if config.chat_template is None:
        return None
    plan = derive(config.chat_template, tokenizer, config.system)
    if config.prefix:
        # The board's cache holds these tokens when a conversation begins.
        plan = replace(plan, first=replace(plan.first, tokens=()))
    for lead in (plan.first, plan.following):
        if len(lead.text) + len(plan.after.text) + ROOM > text_max:
            raise Unsuited(f"its own text is too long for one of {text_max} bytes")
        if len(lead.tokens) + len(plan.after.tokens) + ROOM > config.context:
            raise Unsuited(f"it leaves no room in a context of {config.context} tokens")
    return plan


def chat_files(config: ModelConfig, tokenizer: Tokenizer, text_max: int) -> dict[str, str]:
    """File name -> text of these files."""
    try:
        plan, note = board_plan(config, tokenizer, text_max), ""
    except Unsuited:
        plan, note = None, " that a board can follow"
    fields: dict[str, Any] = {
        "plan": plan,
        "note": note,
        "stripped": WHITE_SPACE,
        "trimmed": [list(space) for space in SPACES],
        "rows": rows,
        "in_comment": in_comment,
        "say": lambda tokens: in_comment(b"".join(tokenizer.pieces[token] for token in tokens)),
    }
    names = ("chat_template.h", "chat_template.c") if plan else ("chat_template.h",)
    return {name: render(name, **fields) for name in names}
