"""The verb inspect: a checkpoint's features, parts and sizes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import click

from tinyllm.codegen.arithmetic.float_model import ModelConfig
from tinyllm.codegen.tokenizers.tokenizer import PieceKind, Tokenizer
from tinyllm.host.cli.model_options import MODEL_HELP, load_options, model_argument
from tinyllm.host.cli.options import json_option
from tinyllm.host.model.inspection import Inspection, inspect_model
from tinyllm.host.model.load import LoadOptions, model_path
from tinyllm.host.model.trim_report import saving_line
from tinyllm.host.output import Output

BAR = 30
"""Characters of the longest bar."""
BESIDE_BAR = 46
"""Columns of the terminal for the rest of a bar's row."""
NAMED = 8
"""The number of other control tokens that are shown by name."""


@click.command(epilog=MODEL_HELP)
@model_argument
@load_options
@json_option
def command(model: str | None, options: LoadOptions, as_json: bool) -> None:
    """Show what a checkpoint is, from its headers: features, parts, sizes and tokenizer."""
    output = Output(as_json)
    seen = inspect_model(model_path(model), options)
    if as_json:
        output.document(_document(seen))
        return
    output.line(f"{seen.config.name}  ({seen.path.as_posix()})", style="bold")
    output.table(["", ""], list(_facts(seen)), wraps=[""])
    output.line("")
    output.table(
        ["part", "parameters", "share", ""],
        list(_parts(seen, BAR if output.columns is None else min(BAR, output.columns - BESIDE_BAR))),
    )
    output.line("")
    output.table(["memory", "what", "bytes", ""], list(_sizes(seen)), wraps=[""])
    output.note("`tinyllm fit` with the same arguments says which boards it fits, and how fast it would be there.")
    if seen.saving is not None:
        output.line(saving_line(seen.saving))


def _facts(seen: Inspection) -> Iterator[tuple[str, str]]:
    config = seen.config
    stored = len(set(config.schedule))
    yield "family", config.family
    yield "dim", str(config.dim)
    yield "hidden_dim", str(config.hidden_dim)
    yield "layers", str(config.n_layers) if stored == config.n_layers else f"{config.n_layers} from {stored} blocks"
    yield "heads", f"{config.n_heads} of size {config.head_dim}, {config.n_kv_heads} for keys and values"
    yield "context", str(config.context)
    yield "rope", _rope(config)
    yield "norm_epsilon", f"{config.norm_epsilon:g}"
    for number, feature in enumerate(seen.features):
        yield "" if number else "features", feature
    yield from _tokenizer_facts(seen)
    yield "licence", f"{seen.licence.name} ({seen.licence.source})" if seen.licence else "none is named"


def _rope(config: ModelConfig) -> str:
    rope = config.rope
    scaled = ", frequencies scaled" if rope.factors else ""
    return f"base {rope.base:g}, {rope.pairing} pairing, {rope.rotary_dim} of each head{scaled}"


def _tokenizer_facts(seen: Inspection) -> Iterator[tuple[str, str]]:
    tokenizer, template = seen.tokenizer, seen.chat_template
    if tokenizer is None or seen.tokenizer_path is None:
        yield "tokenizer", f"none: {seen.no_tokenizer}"
        yield "vocabulary", f"{seen.config.vocab_size:,}"
    else:
        yield "tokenizer", f"{tokenizer.source}, {tokenizer.algorithm.name.lower()} ({seen.tokenizer_path.as_posix()})"
        counts = ", ".join(f"{count:,} {kind}" for kind, count in _kinds(tokenizer).items())
        yield "vocabulary", f"{tokenizer.vocab_size:,} pieces: {counts}"
        yield "special tokens", _special_tokens(tokenizer)
    if template is None:
        yield "chat template", "none"
    else:
        yield "chat template", "the board renders it" if template.on_board else f"only the host can: {template.reason}"


def _kinds(tokenizer: Tokenizer) -> dict[str, int]:
    return {kind.name.lower(): tokenizer.kinds.count(kind) for kind in sorted(set(tokenizer.kinds))}


def _special_tokens(tokenizer: Tokenizer) -> str:
    """Names of BOS, EOS, the other tokens that end an answer, and the first NAMED of the other control tokens."""

    def name(token: int) -> str:
        return f"{tokenizer.pieces[token].decode('utf-8', 'replace')} {token}"

    known = {"bos": tokenizer.bos, "eos": tokenizer.eos}
    shown = [f"{what} {name(token)}" for what, token in known.items() if token is not None]
    shown += [f"stop {name(token)}" for token in tokenizer.stop_ids if token not in known.values()]
    named = {*known.values(), *tokenizer.stop_ids}
    others = [token for token, kind in enumerate(tokenizer.kinds) if kind is PieceKind.CONTROL and token not in named]
    shown += [name(token) for token in others[:NAMED]]
    if len(others) > NAMED:
        shown.append(f"{len(others) - NAMED:,} more")
    return ", ".join(shown) or "none"


def _parts(seen: Inspection, bar: int) -> Iterator[list[str]]:
    largest = max(seen.parts.values())
    for part, count in seen.parts.items():
        yield [part, f"{count:,}", f"{count / seen.n_parameters:.1%}", "#" * -(-count * bar // largest)]
    yield ["all", f"{seen.n_parameters:,}", "", ""]


def _sizes(seen: Inspection) -> Iterator[list[str]]:
    yield ["flash", "weights as int8", f"{seen.weights.int8:,}", "counted"]
    yield ["flash", "weights as fp16", f"{seen.weights.fp16:,}", "estimated, no kernel reads it"]
    yield ["flash", "weights as int4", f"{seen.weights.int4:,}", "counted, embedding and head as int8"]
    vocabulary = "counted" if seen.tokenizer else "estimated, no tokenizer"
    yield ["flash", "vocabulary", f"{seen.plan.flash['vocabulary']:,}", vocabulary]
    yield ["RAM", "KV cache of one token", f"{seen.kv_bytes_per_token:,}", "counted"]
    yield ["RAM", f"state with context {seen.context}", f"{seen.plan.state_bytes:,}", "counted"]


def _document(seen: Inspection) -> dict[str, Any]:
    tokenizer, template = seen.tokenizer, seen.chat_template
    return {
        "path": str(seen.path),
        "config": asdict(seen.config) | {"n_layers": seen.config.n_layers},
        "features": seen.features,
        "parameters": seen.n_parameters,
        "parts": seen.parts,
        "stored_bytes": seen.stored_bytes,
        "weight_bytes": asdict(seen.weights),
        "vocabulary_bytes": seen.plan.flash["vocabulary"],
        "kv_bytes_per_token": seen.kv_bytes_per_token,
        "context": seen.context,
        "ram": seen.plan.ram | {"state": seen.plan.state_bytes},
        "licence": seen.licence and seen.licence._asdict(),
        "chat_template": template and asdict(template),
        "tokenizer": tokenizer
        and {
            "path": str(seen.tokenizer_path),
            "source": tokenizer.source,
            "algorithm": tokenizer.algorithm.name.lower(),
            "vocab_size": tokenizer.vocab_size,
            "bos": tokenizer.bos,
            "eos": tokenizer.eos,
            "stop_ids": list(tokenizer.stop_ids),
            "kinds": _kinds(tokenizer),
        },
        "no_tokenizer": seen.no_tokenizer,
        "trimming": seen.saving and asdict(seen.saving),
    }
