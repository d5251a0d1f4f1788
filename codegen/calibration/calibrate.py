"""Calibrate a float model on token sequences: choose 4-bit codes layer by layer, then tune them as a whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from tinyllm.codegen.arithmetic.float_model import F32, Model
from tinyllm.codegen.calibration.layerwise import Codes, Key, calibrate_layers, with_values
from tinyllm.codegen.calibration.mixed import HELD_BACK, raised, worths
from tinyllm.codegen.calibration.rounding import relative_output_error
from tinyllm.codegen.calibration.sequences import batches_of, count_for
from tinyllm.codegen.calibration.tuning import STEP_TOKENS, Schedule, tune

VERSION = 2
"""Raise this if the same model and text would give other codes: calibrations of older versions in the cache expire."""


@dataclass(frozen=True)
class Calibration:
    """codes: of the int4 matrices. values: the gains and the int8 matrices, tuned to go with the codes.

    errors: of the outputs of each int4 matrix on the calibration text, as a fraction of their root mean square.
    perplexities: the float model's on a given calibration text and on what it writes itself; None if it wrote the text.
    """

    codes: Codes = field(default_factory=dict)
    values: dict[Key, F32] = field(default_factory=dict)
    errors: dict[Key, float] = field(default_factory=dict)
    perplexities: tuple[float, float] | None = None

    def applied(self, model: Model) -> Model:
        """The float model with the values that go with the codes."""
        return with_values(model, self.values)

    def dequantised(self, model: Model) -> Model:
        """The float model that codes and values stand for; all other matrices are unchanged."""
        int4 = {key: grouped.dequantized().astype(np.float32) for key, grouped in self.codes.items()}
        return with_values(model, self.values | int4)


ROUNDING_TOKENS = 1 << 15
"""Tokens of the calibration text that decide the codes of each matrix alone. Tuning the whole model uses all tokens."""
STEPS = 200
"""Steps of tuning; fewer for a large model or a short text."""
MOST_READINGS = 3
"""How often tuning reads the text at most, so that it does not learn a short text by heart."""
WORK = 1_200_000_000
"""Steps times parameters, at most: about nine minutes of one core of a desktop computer."""

INT8 = Calibration()
"""The calibration of a model without int4 matrices."""


@dataclass(frozen=True)
class Budget:
    """The limit of a mixture of int4 and int8.

    allowed: whether these matrices may be int4 and all others int8. growth: how many bytes more a matrix takes as int8.
    name: two budgets have the same name only if they allow the same.
    """

    allowed: Callable[[frozenset[Key]], bool]
    growth: Callable[[Key], int]
    name: str


def calibrate(
    model: Model,
    sequences: Sequence[Sequence[int]],
    budget: Budget | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> Calibration:
    """Calibrate all matrices of the blocks, or those that a budget does not raise to int8.

    sequences: token ids of the calibration text. The same model and sequences give the same codes on one machine.
    progress takes one short line per step.
    """

    def step(what: str) -> Callable[[int, int], None]:
        return lambda done, total: progress(f"{what} {done} of {total}")

    first = batches_of(sequences[: count_for(sequences, ROUNDING_TOKENS)])
    codes, inputs = calibrate_layers(model, first, (), step("rounding matrix"))
    int8: frozenset[Key] = frozenset()
    if budget is not None:
        held_back = batches_of(sequences[-count_for(sequences[::-1], HELD_BACK) :])
        int8 = raised(model, worths(model, codes, held_back, step("measuring set")), budget.growth, budget.allowed)
        if int8:
            codes, inputs = calibrate_layers(model, first, int8, step("rounding matrix"))
    tokens = sum(map(len, sequences))
    steps = max(1, min(STEPS, MOST_READINGS * tokens // STEP_TOKENS, WORK // model.n_parameters()))
    progress("reading the text with the float model")
    codes, values = tune(model, codes, int8, batches_of(sequences), Schedule(steps), step("tuning, step"))
    errors = {
        key: relative_output_error(getattr(model.blocks[key[0]], key[1]).astype(np.float64), grouped, inputs[key])
        for key, grouped in codes.items()
    }
    return Calibration(codes, values, errors)
