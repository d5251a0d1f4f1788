"""Loads the model that a person names, and its tokenizer."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tinyllm.codegen.actions.catalogue import FILE as CATALOGUE
from tinyllm.codegen.actions.catalogue import read_catalogue, read_catalogue_text
from tinyllm.codegen.actions.plan import actions_of
from tinyllm.codegen.arithmetic.float_model import SMALLEST_CONTEXT, Model, ModelConfig
from tinyllm.codegen.chat.derive import Unsuited, derive, stopping_where_answers_end
from tinyllm.codegen.checkpoints import inspect_checkpoint, read_model
from tinyllm.codegen.checkpoints.facts import CheckpointFacts
from tinyllm.codegen.checkpoints.huggingface.hub_cache import snapshot
from tinyllm.codegen.memory.plan import PARTITION, PROGRAM
from tinyllm.codegen.tokenizers import Tokenizer, find_tokenizer, fit_vocabulary, read_tokenizer
from tinyllm.codegen.tokenizers.encode.encoder import encode
from tinyllm.codegen.trim import Saving, trim
from tinyllm.codegen.verify.perplexity import split_stories
from tinyllm.errors import UserError
from tinyllm.files import read_bytes
from tinyllm.host.hub.store import find_pulled
from tinyllm.host.model.budgets import best_that_fits
from tinyllm.host.model.kv_cache import PREFIX, with_format, with_prefix_as_sinks, with_window
from tinyllm.host.model.weights import INT8, Weights
from tinyllm.models import bundled
from tinyllm.models.known import known_models
from tinyllm.text import shown

DEFAULT_MODEL = "TINYLLM_MODEL"
"""The environment variable that names the model of every verb that is given none."""
DEFAULT_CONTEXT = 512
TEXT_LIMIT = 64 * 2**20
"""Most bytes of a text that an option names."""


@dataclass(frozen=True)
class LoadOptions:
    """How a person wants a checkpoint read.

    tokenizer: its file; None: the one beside the checkpoint. context: positions of the KV cache; None: the model's own,
    at most DEFAULT_CONTEXT. rope_base: of a llama2.c file of version 1 or 2, which does not store it; None: 10000.
    share_embedding, layer_sharing: override config.json of a Hugging Face folder. trim_vocab: a text; only the tokens
    that it needs are kept. prefix: a text that every conversation on a board begins with; the system message of a model
    with a chat template. weights: the format of the blocks' matrices, as Weights.parse takes it. calibrate: a text that
    decides how int4 weights are rounded; None: the model writes one. fit_to: a board; the weights get the best format
    that fits it. kv_cache: the format of keys and values, one of KV_CACHES; None: int8. window: positions that the KV
    cache holds; None: all of the context. sinks: how many of the first tokens stay when the others slide, or "prefix":
    all of the prefix; None: N_SINKS. weights_in: where a board keeps the weights, PROGRAM or PARTITION; None: in the
    program if they fit. actions: the catalogue of the calls that the model may make; None: the one beside the
    checkpoint, if there is one.
    """

    tokenizer: Path | None = None
    context: int | None = None
    rope_base: float | None = None
    share_embedding: bool | None = None
    layer_sharing: bool | None = None
    trim_vocab: Path | None = None
    prefix: Path | None = None
    weights: str | None = None
    calibrate: Path | None = None
    fit_to: str | None = None
    kv_cache: str | None = None
    window: int | None = None
    sinks: str | int | None = None
    weights_in: str | None = None
    actions: Path | None = None

    def positions(self, config: ModelConfig) -> int:
        """Positions of a conversation. UserError below SMALLEST_CONTEXT and beyond what the model was trained for."""
        if self.context is None:
            return min(config.context, DEFAULT_CONTEXT)
        if not SMALLEST_CONTEXT <= self.context <= config.context:
            raise UserError(
                f"--context {self.context}: {config.name} was trained for {config.context} positions; "
                f"expected {SMALLEST_CONTEXT} to {config.context}."
            )
        return self.context

    def facts(self, path: Path) -> CheckpointFacts:
        """What the headers of the checkpoint say. Errors as inspect_checkpoint."""
        facts = inspect_checkpoint(path, **self._of_checkpoint())
        return replace(facts, config=self._as_wanted(facts.config, path))

    def model(self, path: Path) -> Model:
        """The checkpoint with its weights. Errors as read_model."""
        model = read_model(path, **self._of_checkpoint())
        return replace(model, config=self._as_wanted(model.config, path))

    def _as_wanted(self, config: ModelConfig, path: Path) -> ModelConfig:
        """The config with the catalogue of calls and the chosen KV cache. UserError if one of them is invalid."""
        beside = (path if path.is_dir() else path.parent) / CATALOGUE
        catalogue = self.actions or (beside if beside.is_file() else None)
        if catalogue is not None:
            read_catalogue(catalogue)
            config = replace(config, actions=read_catalogue_text(catalogue))
        config = with_format(config, self.kv_cache)
        if self.window is None and self.sinks is None:
            return config
        return with_window(config, self.positions(config), self.window, self.sinks)

    def _of_checkpoint(self) -> dict[str, Any]:
        """Keyword arguments of read_model and inspect_checkpoint. UserError for a context below SMALLEST_CONTEXT."""
        if self.context is not None and self.context < SMALLEST_CONTEXT:
            raise UserError(f"--context {self.context}: expected {SMALLEST_CONTEXT} or more.")
        return {
            "context": self.context,
            "rope_base": self.rope_base,
            "share_embedding": self.share_embedding,
            "layer_sharing": self.layer_sharing,
        }

    def weights_format(self) -> Weights:
        """The chosen format of the weights, int8 by default. UserError if it is unknown, or chosen by two options."""
        if self.weights is not None and self.fit_to is not None:
            raise UserError(
                f"--weights {self.weights} and --fit-to {self.fit_to} both choose the weights; leave one out."
            )
        weights = INT8 if self.weights is None else Weights.parse(self.weights)
        if self.calibrate is not None:
            read_text(self.calibrate)  # so that a wrong path fails before any work
        return weights

    def with_prefix(self, config: ModelConfig, tokenizer: Tokenizer) -> ModelConfig:
        """The config with the prefix, and as many sinks if wanted. Errors as its two parts."""
        if self.prefix is not None:
            config = with_text_in_front(config, tokenizer, self.prefix)
        return with_prefix_as_sinks(config, self.positions(config)) if self.sinks == PREFIX else config

    def stories(self) -> list[str]:
        """The texts that a vocabulary is trimmed to, [] if none was given. UserError if the file has no text."""
        if self.trim_vocab is None:
            return []
        stories = split_stories(read_text(self.trim_vocab))
        if not stories:
            raise UserError(f"{self.trim_vocab}: no text in it; expected one like what the model is to read and write.")
        return stories


AS_STORED = LoadOptions()


def calibration_stories(path: Path) -> list[str]:
    """The texts of a file to calibrate on. UserError if it has none."""
    stories = split_stories(read_text(path))
    if not stories:
        raise UserError(f"--calibrate {path}: no text in it; expected one like what the model is to read and write.")
    return stories


@dataclass(frozen=True)
class LoadedModel:
    """A model that has been read, with its tokenizer.

    context: positions of the KV cache. context_chosen: whether a person named it; else it is the default, and a board
    without room for it may get a smaller one. whole, saving: if the vocabulary was trimmed, the model before that, and
    what trimming saves. weights: the format of the integers that calibrate.py makes. calibration: the text to calibrate
    on; None: the model writes one. weights_in: as in LoadOptions.
    """

    path: Path
    model: Model
    tokenizer_path: Path
    tokenizer: Tokenizer
    context: int
    context_chosen: bool = False
    whole: LoadedModel | None = None
    saving: Saving | None = None
    weights: Weights = INT8
    calibration: Path | None = None
    weights_in: str | None = None

    @property
    def name(self) -> str:
        return self.model.config.name


def model_path(name: str | None) -> Path:
    """The folder or file that `name` means: a bundled model, a pulled one or a path.

    None: the one that TINYLLM_MODEL names, or else the first bundled one. For a repository in huggingface_hub's cache
    it is the folder of a commit, as `snapshot` has it. Raises UserError if there is no such model.
    """
    models = bundled()
    name = name or os.environ.get(DEFAULT_MODEL) or None
    if name is None:
        if not models:
            raise UserError("no model is bundled with this installation. Give the path of one.")
        return next(iter(models.values()))
    if name in models:
        return models[name]
    if (pulled := find_pulled(name)) is not None:
        return pulled.path
    if _is_there(Path(name)):
        return snapshot(Path(name))
    if name in known_models():
        raise UserError(f"{name} is not on this computer yet; `tinyllm pull {name}` brings it.")
    near = difflib.get_close_matches(name, [*models, *known_models()], n=1)
    hint = f"Did you mean {near[0]}?" if near else "`tinyllm models` lists those there are."
    raise UserError(f"{name}: neither a bundled model nor a file, a folder or a pulled model. {hint}")


def likely_models() -> list[str]:
    """The models that a board may run if it was flashed without naming one: the default, and the bundled ones."""
    default = os.environ.get(DEFAULT_MODEL)
    return [*([default] if default else []), *bundled()]


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long for a path, or with a zero byte
        return False


def load_model(name: str | None, options: LoadOptions = AS_STORED) -> LoadedModel:
    """Read the model and its tokenizer, and apply the options. Raises UserError if one of them does not fit."""
    weights = options.weights_format()
    if options.weights_in not in (None, PROGRAM, PARTITION):
        raise UserError(f"--weights-in {shown(options.weights_in)}: expected {PROGRAM} or {PARTITION}.")
    path = model_path(name)
    model = options.model(path)
    context = options.positions(model.config)
    tokenizer_path, tokenizer = load_tokenizer(path, model.config, options)
    chosen = options.context is not None
    whole = LoadedModel(
        path,
        model,
        tokenizer_path,
        tokenizer,
        context,
        chosen,
        weights=weights,
        calibration=options.calibrate,
        weights_in=options.weights_in,
    )
    if options.trim_vocab is not None:
        trimmed = trim(model, tokenizer, options.stories())
        whole = replace(whole, model=trimmed.model, tokenizer=trimmed.tokenizer, whole=whole, saving=trimmed.saving)
    if options.fit_to is not None:
        weights = best_that_fits(options.fit_to, whole.model, whole.tokenizer, whole.context, options.weights_in)
        whole = replace(whole, weights=weights)
    config = options.with_prefix(whole.model.config, whole.tokenizer)
    return replace(whole, model=replace(whole.model, config=config))


def with_text_in_front(config: ModelConfig, tokenizer: Tokenizer, path: Path) -> ModelConfig:
    """The config with the text of a file in front of every conversation.

    Raises UserError if the file has no text, or if a board cannot follow the chat template with a system message.
    """
    text = read_text(path).removesuffix("\n")
    if not text:
        raise UserError(f"--prefix {path}: no text in it; expected what every conversation is to begin with.")
    if config.chat_template is None:
        prefix, system = tuple(encode(tokenizer, text, bos=True)), None
    else:
        try:
            prefix, system = derive(config.chat_template, tokenizer, text).first.tokens, text
        except Unsuited as unsuited:
            raise UserError(
                f"--prefix {path}: the board cannot follow {config.name}'s chat template with a system message "
                f"({unsuited}). `tinyllm chat --system TEXT` renders it on this computer."
            ) from None
    return replace(config, prefix=prefix, system=system)


def load_tokenizer(path: Path, config: ModelConfig, options: LoadOptions) -> tuple[Path, Tokenizer]:
    """The tokenizer of the checkpoint at `path`, after the path of its file.

    Errors as find_tokenizer, read_tokenizer and actions_of.
    """
    tokenizer_path = options.tokenizer or find_tokenizer(path, config.vocab_size)
    tokenizer = fit_vocabulary(path, config.vocab_size, tokenizer_path, read_tokenizer(tokenizer_path))
    tokenizer = stopping_where_answers_end(config.chat_template, tokenizer)
    actions_of(config.actions, tokenizer)  # so that a catalogue without its tokens fails before any work
    return tokenizer_path, tokenizer


def read_text(path: Path) -> str:
    """A text. UserError if it is missing, too large or not UTF-8."""
    try:
        return read_bytes(path, TEXT_LIMIT).decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}; expected a text.") from None
