"""What a checkpoint is and what it would take on each board, told without reading a weight."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from tinyllm.boards.description import Board, load_boards
from tinyllm.codegen.arithmetic.float_model import ModelConfig
from tinyllm.codegen.arithmetic.integer_model import LARGEST_CONTEXT, IntegerModel
from tinyllm.codegen.chat.derive import Unsuited, derive
from tinyllm.codegen.checkpoints.licence import Licence, find_licence
from tinyllm.codegen.memory.fit import largest_context
from tinyllm.codegen.memory.outline import outline
from tinyllm.codegen.memory.plan import (
    Bytes,
    Plan,
    WeightBytes,
    kv_bytes_per_token,
    memory_needs,
    plan_memory,
    room,
    weight_bytes,
)
from tinyllm.codegen.tokenizers.tokenizer import PieceKind, Tokenizer
from tinyllm.codegen.trim import Saving, needed_tokens, saving, trim_config, trim_tokenizer
from tinyllm.errors import UserError
from tinyllm.host.hub.store import RECORD, find_pulled_around
from tinyllm.host.model.load import LoadOptions, load_tokenizer

PARTS = ("embedding", "attention", "feed-forward", "norms", "head")
TYPICAL_PIECE = b"token "
"""Stands for each piece of a tokenizer that is not there, to estimate its tables."""


@dataclass(frozen=True)
class BoardFit:
    """A board that could hold the model, or not. needed: at the inspected context, estimated; there: for a program.

    largest_context: that fits, up to what the model was trained for; None if none does.
    """

    board: str
    needed: Bytes
    there: Bytes
    fits: bool
    largest_context: int | None


@dataclass(frozen=True)
class ChatTemplate:
    """Whether a board can render it; if not, only the host can, and `reason` says why."""

    on_board: bool
    reason: str = ""


@dataclass(frozen=True)
class Inspection:
    """parts: stored numbers of each part. plan: at `context` positions. tokenizer: None if there is none, and
    no_tokenizer says why: its tables are then estimated. stored_bytes: of the tensors in the checkpoint's own files.
    """

    path: Path
    config: ModelConfig
    features: list[str]
    parts: dict[str, int]
    stored_bytes: int
    weights: WeightBytes
    kv_bytes_per_token: int
    context: int
    plan: Plan
    licence: Licence | None
    tokenizer: Tokenizer | None
    tokenizer_path: Path | None
    no_tokenizer: str
    chat_template: ChatTemplate | None
    saving: Saving | None
    boards: list[BoardFit]

    @property
    def n_parameters(self) -> int:
        return sum(self.parts.values())


def inspect_model(path: Path, options: LoadOptions) -> Inspection:
    """Raises UserError as inspect_checkpoint, and for a tokenizer that was named and is not sound."""
    facts = options.facts(path)
    config, counts = facts.config, facts.parameters_by_part()
    parts = {part: counts.get(part, 0) for part in PARTS}
    context = options.positions(config)
    tokenizer_path, tokenizer, why = _tokenizer(path, config, options)
    saved = None
    if options.trim_vocab is not None:
        if tokenizer is None:
            raise UserError(f"--trim-vocab needs the model's tokenizer. {why}")
        trimmed = trim_tokenizer(tokenizer, needed_tokens(tokenizer, options.stories(), config.chat_template))
        saved = saving(config, tokenizer, trimmed)
        config, tokenizer = trim_config(config, trimmed.vocab_size), trimmed
        parts |= {part: config.vocab_size * config.dim for part in ("embedding", "head") if parts[part]}
    model = outline(replace(config, context=context), facts.biases)
    pieces = tokenizer or _stand_in(config.vocab_size)
    plan = plan_memory(model, pieces)
    return Inspection(
        path=path,
        config=config,
        features=facts.features,
        parts=parts,
        stored_bytes=sum(tensor.n_bytes for tensor in facts.tensors),
        weights=weight_bytes(model, plan.flash["weights"]),
        kv_bytes_per_token=kv_bytes_per_token(model),
        context=context,
        plan=plan,
        licence=find_licence(path) or _recorded_licence(path),
        tokenizer=tokenizer,
        tokenizer_path=tokenizer_path,
        no_tokenizer=why,
        chat_template=_chat_template(config, tokenizer),
        saving=saved,
        boards=[fit for board in load_boards() if (fit := _fit(model, config.context, pieces, board))],
    )


def _recorded_licence(path: Path) -> Licence | None:
    """As its card on the hub named it when the model was pulled."""
    pulled = find_pulled_around(path)
    return Licence(pulled.licence, RECORD) if pulled is not None and pulled.licence else None


def _tokenizer(path: Path, config: ModelConfig, options: LoadOptions) -> tuple[Path | None, Tokenizer | None, str]:
    """Where it is, the tokenizer, and if there is none why; one that a person named must be sound."""
    try:
        return *load_tokenizer(path, config, options), ""
    except UserError as error:
        if options.tokenizer is not None:
            raise
        return None, None, str(error)


def _stand_in(vocab_size: int) -> Tokenizer:
    return Tokenizer(
        pieces=(TYPICAL_PIECE,) * vocab_size,
        kinds=(PieceKind.CONTROL,) * vocab_size,
        ranks=(0,) * vocab_size,
        bos=None,
        eos=None,
        stop_ids=(),
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        source="none",
    )


def _chat_template(config: ModelConfig, tokenizer: Tokenizer | None) -> ChatTemplate | None:
    if config.chat_template is None:
        return None
    if tokenizer is None:
        return ChatTemplate(False, "there is no tokenizer")
    try:
        derive(config.chat_template, tokenizer)
    except Unsuited as unsuited:
        return ChatTemplate(False, str(unsuited))
    return ChatTemplate(True)


def _fit(model: IntegerModel, trained: int, tokenizer: Tokenizer, board: Board) -> BoardFit | None:
    """None for a board without known limits."""
    there = room(board)
    if there is None:
        return None
    needed = memory_needs(model, tokenizer, board).total
    longest = replace(model, config=replace(model.config, context=min(trained, LARGEST_CONTEXT)))
    if memory_needs(longest, tokenizer, board).total.fits(there):
        largest: int | None = longest.config.context
    else:
        largest = largest_context(longest, tokenizer, board)
    return BoardFit(board.name, needed, there, needed.fits(there), largest)
