"""The integers of a loaded model: its weights in the format that a person chose, calibrated if that is int4.

Every part of the tool that needs the integers asks `integers_of`, so that a board, the reference, a measurement and a
build agree. A calibration takes long and is kept in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinyllm.codegen.arithmetic.float_forward import FloatForward
from tinyllm.codegen.arithmetic.float_model import Model
from tinyllm.codegen.arithmetic.integer_model import IntegerModel
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.calibration.calibrate import INT8, Budget, Calibration, calibrate
from tinyllm.codegen.calibration.layerwise import Key, matrices
from tinyllm.codegen.calibration.own_text import own_text
from tinyllm.codegen.calibration.sequences import FEWEST_TOKENS, LENGTH, TOKENS, pieces
from tinyllm.codegen.memory.outline import outline_of
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer
from tinyllm.codegen.verify.perplexity import perplexity
from tinyllm.errors import UserError
from tinyllm.host.model.budgets import budget_of
from tinyllm.host.model.calibration_cache import find_calibration, keep_calibration, key_of
from tinyllm.host.model.load import LoadedModel, calibration_stories
from tinyllm.host.model.mixtures import keep_mixture

Line = Callable[[str], None]

FOREIGN = 4.0
"""A text is foreign to a model if its perplexity is more than this many times that of the model's own text."""
MANY = 1_000_000
"""A perplexity beyond this says no more than that."""
OWN_TOKENS = 1 << 16
"""Tokens of the text that a model writes to calibrate itself."""
OWN_SAMPLE = 2048
"""Tokens that a model writes for the comparison with FOREIGN."""


def ignore(line: str) -> None:
    """For callers that show no progress."""


def integers_of(
    loaded: LoadedModel, context: int | None = None, progress: Line = ignore, notice: Line = ignore
) -> IntegerModel:
    """The integers that a board computes with. context: positions of the KV cache; None: as the model was loaded.

    Errors as calibration_of and quantize.
    """
    calibration = calibration_of(loaded, progress, notice)
    context = loaded.context if context is None else context
    return quantize(calibration.applied(loaded.model), context, calibration.codes)


def calibration_of(loaded: LoadedModel, progress: Line = ignore, notice: Line = ignore) -> Calibration:
    """The codes of the matrices that are int4: from the cache, else calibrated now, which takes a while.

    progress takes one short line per step, notice a line that a person should read.
    Raises UserError for a calibration text that is too short.
    """
    if loaded.weights.kind == "int8":
        if loaded.calibration is not None:
            notice(
                f"--calibrate {loaded.calibration} has no effect: int8 weights are rounded to nearest. Add --weights."
            )
        return INT8
    budget = budget_of(
        loaded.weights, partial(outline_of, loaded.model, loaded.context), loaded.tokenizer, loaded.weights_in
    )
    if budget is not None and budget.allowed(frozenset()):
        notice(f"--weights {loaded.weights}: there is room for all of {loaded.name} as int8, so that is what it gets.")
        return INT8
    if loaded.calibration is None:
        sequences, text = None, f"own text, {OWN_TOKENS} tokens"
    else:
        sequences = calibration_sequences(loaded, loaded.calibration)
        text = repr(sequences)
    key = key_of(loaded.model, budget.name if budget else loaded.weights.kind, text)
    if (kept := find_calibration(key, loaded.model)) is not None:
        tell_if_foreign(loaded, kept.perplexities, notice)
        _remember(loaded, budget, kept)
        return kept
    perplexities = None
    if sequences is None:
        notice(f"no --calibrate FILE: {loaded.name} writes its own calibration text. One like its use is better.")
        sequences = written_by(loaded.model, loaded.tokenizer, OWN_TOKENS, progress)
    else:
        progress("reading the calibration text")
        perplexities = perplexities_of(loaded, sequences)
        tell_if_foreign(loaded, perplexities, notice)
    calibration = replace(calibrate(loaded.model, sequences, budget, progress), perplexities=perplexities)
    keep_calibration(key, calibration)
    _remember(loaded, budget, calibration)
    return calibration


def _remember(loaded: LoadedModel, budget: Budget | None, calibration: Calibration) -> None:
    """Keep the choice of a mixture, so that fit counts it as a build does."""
    if budget is not None:
        keep_mixture(loaded.path, loaded.model.config, budget.name, calibration.codes.keys())


def int4_matrices(loaded: LoadedModel, progress: Line = ignore, notice: Line = ignore) -> frozenset[Key]:
    """The stored block and field of each int4 matrix. Only a mixture has to be calibrated to know them.

    Arguments and errors as calibration_of.
    """
    if loaded.weights.kind == "mixed":
        return frozenset(calibration_of(loaded, progress, notice).codes)
    return frozenset() if loaded.weights.kind == "int8" else frozenset(matrices(loaded.model))


def calibration_sequences(loaded: LoadedModel, path: Path) -> list[list[int]]:
    """The tokens of a calibration text. UserError if it has fewer than FEWEST_TOKENS."""
    length = min(loaded.model.config.context, LENGTH)
    sequences = pieces(calibration_stories(path), loaded.tokenizer, length, TOKENS)
    if (count := sum(map(len, sequences))) < FEWEST_TOKENS:
        raise UserError(
            f"--calibrate {path}: {count:,} tokens, at least {FEWEST_TOKENS:,} are needed and up to {TOKENS:,} used. "
            "Give a longer text, or leave the option out: the model then writes its own."
        )
    return sequences


def written_by(model: Model, tokenizer: Tokenizer, tokens: int, progress: Line = ignore) -> list[list[int]]:
    """Sequences that the model writes itself. UserError if it writes too few tokens."""

    def told(done: int, total: int) -> None:
        progress(f"writing calibration text: {done:,} of {total:,} tokens")

    sequences = own_text(model, tokenizer, min(model.config.context, LENGTH), tokens, told)
    if sum(map(len, sequences)) < min(tokens, FEWEST_TOKENS):
        raise UserError(
            f"{model.config.name} ends its own text at once, so it cannot calibrate itself; give one: --calibrate FILE."
        )
    return sequences


def perplexities_of(loaded: LoadedModel, sequences: Sequence[Sequence[int]]) -> tuple[float, float]:
    """The float model's perplexity on the beginning of a text, and on what it writes itself."""
    forward = FloatForward(loaded.model).forward
    own = written_by(loaded.model, loaded.tokenizer, OWN_SAMPLE)
    return perplexity(forward, _arrays(sequences, OWN_SAMPLE)), perplexity(forward, _arrays(own, OWN_SAMPLE))


def tell_if_foreign(loaded: LoadedModel, perplexities: tuple[float, float] | None, notice: Line) -> None:
    """Give `notice` a line with both perplexities if the text is foreign to the model, as in another language."""
    if perplexities is None or perplexities[0] <= FOREIGN * perplexities[1]:
        return
    text, own = perplexities
    notice(
        f"--calibrate {loaded.calibration}: {loaded.name} has a perplexity of "
        f"{f'{text:,.1f}' if text < MANY else f'over {MANY:,}'} on this text and of {own:.1f} on what it writes "
        "itself. Is the text in the model's language and form?"
    )


def _arrays(sequences: Sequence[Sequence[int]], tokens: int) -> Iterator[NDArray[np.int64]]:
    """The first sequences, with about `tokens` tokens in all."""
    for ids in sequences:
        if tokens <= 0:
            return
        yield np.array(ids, np.int64)
        tokens -= len(ids)
