"""Describes a checkpoint and the size of its parts without reading a weight."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from tinyllm.codegen.arithmetic.float_model import ModelConfig
from tinyllm.codegen.chat.derive import Unsuited, derive
from tinyllm.codegen.checkpoints.licence import Licence, find_licence
from tinyllm.codegen.memory.outline import outline
from tinyllm.codegen.memory.plan import Plan, WeightBytes, kv_bytes_per_token, plan_memory, weight_bytes
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer
from tinyllm.codegen.trim import Saving
from tinyllm.host.hub.store import RECORD, find_pulled_around
from tinyllm.host.model.load import LoadOptions
from tinyllm.host.model.sketch import read_sketch

PARTS = ("embedding", "attention", "feed-forward", "norms", "head")


@dataclass(frozen=True)
class ChatTemplate:
    """Whether a board can render the chat template; if not, only the host can, and `reason` says why."""

    on_board: bool
    reason: str = ""


@dataclass(frozen=True)
class Inspection:
    """parts: number of stored parameters of each part. plan: the memory at `context` positions. tokenizer: None if
    there is none; no_tokenizer then says why, and its tables are estimated. stored_bytes: bytes of the tensors in the
    checkpoint's own files.
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

    @property
    def n_parameters(self) -> int:
        return sum(self.parts.values())


def inspect_model(path: Path, options: LoadOptions) -> Inspection:
    """Inspect the checkpoint at `path`. Raises UserError as read_sketch."""
    sketch = read_sketch(path, options)
    facts, config = sketch.facts, sketch.config
    parts = {part: sketch.parameters_by_part.get(part, 0) for part in PARTS}
    model = outline(replace(config, context=sketch.context), facts.biases)
    plan = plan_memory(model, sketch.pieces)
    return Inspection(
        path=path,
        config=config,
        features=facts.features,
        parts=parts,
        stored_bytes=sum(tensor.n_bytes for tensor in facts.tensors),
        weights=weight_bytes(model, plan.flash["weights"]),
        kv_bytes_per_token=kv_bytes_per_token(model),
        context=sketch.context,
        plan=plan,
        licence=find_licence(path) or _recorded_licence(path),
        tokenizer=sketch.tokenizer,
        tokenizer_path=sketch.tokenizer_path,
        no_tokenizer=sketch.no_tokenizer,
        chat_template=_chat_template(config, sketch.tokenizer),
        saving=sketch.saving,
    )


def _recorded_licence(path: Path) -> Licence | None:
    """The licence that was recorded when the model was pulled; None if there is no such record."""
    pulled = find_pulled_around(path)
    return Licence(pulled.licence, RECORD) if pulled is not None and pulled.licence else None


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
