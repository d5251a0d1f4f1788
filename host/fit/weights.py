"""Outlines of a model in the three weight formats that fit compares: int8, int4, and a mixture of both."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial

from tinyllm.codegen.arithmetic.float_model import ModelConfig
from tinyllm.codegen.arithmetic.integer_model import IntegerModel
from tinyllm.codegen.calibration.calibrate import Budget
from tinyllm.codegen.calibration.layerwise import Key
from tinyllm.codegen.calibration.mixed import MEAN_BITS
from tinyllm.codegen.memory.outline import outline
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer
from tinyllm.host.model.budgets import all_matrices, budget_of
from tinyllm.host.model.mixtures import find_mixture
from tinyllm.host.model.sketch import Sketch
from tinyllm.host.model.weights import Weights

FORMATS = ("int8", "mixed", "int4")
"""The formats, the most accurate first."""
SETS = (("w_down",), ("wo",), ("w_gate", "w_up"), ("wq", "wk", "wv"))
"""Matrices that become int8 together, because they have the same input. A guess raises them in this order."""
MIXED_BITS = MEAN_BITS
"""Mean bits of a block's weight in a mixture, unless a person asks for another."""
DEFAULT = Weights("mixed")
"""The mixture, unless a person asks for another."""


@dataclass(frozen=True)
class Mixture:
    """int4: the matrices of a mixture that are int4; all others are int8.

    counted: whether a build has the same; else they are a guess, which takes about as many bytes.
    """

    int4: frozenset[Key]
    counted: bool


def outlines(sketch: Sketch) -> Mapping[str, IntegerModel]:
    """The model in each of FORMATS, at the sketch's context. Embedding and head are int8 in all of them.

    Raises UserError if the budget of the mixture that a person asked for is too small.
    """
    outlined = partial(_outline, replace(sketch.config, context=sketch.context), sketch.facts.biases)
    return {
        "int8": outlined(frozenset()),
        "mixed": outlined(mixture_of(sketch).int4),
        "int4": outlined(all_matrices(sketch.config)),
    }


def mixture_of(sketch: Sketch) -> Mixture:
    """The mixture that the last calibration of this checkpoint and budget chose; else a guess. Errors as `outlines`."""
    config = replace(sketch.config, context=sketch.context)
    mixture = sketch.mixture or DEFAULT
    budget, guess = _guessed(config, sketch.facts.biases, sketch.pieces, mixture, sketch.weights_in)
    if not guess:
        return Mixture(guess, True)  # A build does not calibrate what has room as int8.
    chosen = find_mixture(sketch.path, config, budget.name)
    return Mixture(guess, False) if chosen is None else Mixture(chosen, True)


@lru_cache(maxsize=64)
def _outline(config: ModelConfig, biases: tuple[str, ...], int4: frozenset[Key]) -> IntegerModel:
    return outline(config, biases, int4)


@lru_cache(maxsize=16)
def _guessed(
    config: ModelConfig, biases: tuple[str, ...], tokenizer: Tokenizer, mixture: Weights, weights_in: str | None
) -> tuple[Budget, frozenset[Key]]:
    """The budget of a mixture, and the matrices that stay int4 if as many SETS as it allows are raised in their order.

    A build chooses the sets by measuring on a text.
    """

    def outlined(int4: Collection[Key]) -> IntegerModel:
        return _outline(config, biases, frozenset(int4))

    budget = budget_of(mixture, outlined, tokenizer, weights_in)
    assert budget is not None
    int4 = all_matrices(config)
    for names in SETS:
        for block in range(len(set(config.schedule))):
            narrower = int4 - {(block, name) for name in names}
            if budget.allowed(narrower):
                int4 = narrower
    return budget, int4
