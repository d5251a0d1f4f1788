"""From a float model and token sequences to 4-bit codes: layer by layer first, then tuned as a whole."""

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
"""Rises when the same model and text would give other codes: what the cache holds of older versions is not used."""


@dataclass(frozen=True)
class Calibration:
    """codes: of the matrices that are int4. values: of gains and of matrices that are int8, tuned to go with them.

    errors: how far the outputs of an int4 matrix are off on the calibration text, as a part of their root mean square.
    """

    codes: Codes = field(default_factory=dict)
    values: dict[Key, F32] = field(default_factory=dict)
    errors: dict[Key, float] = field(default_factory=dict)

    def applied(self, model: Model) -> Model:
        """The float model with the values that go with the codes."""
        return with_values(model, self.values)

    def dequantised(self, model: Model) -> Model:
        """The float model that the codes stand for; matrices without codes as they are."""
        int4 = {key: grouped.dequantized().astype(np.float32) for key, grouped in self.codes.items()}
        return with_values(model, self.values | int4)


ROUNDING_TOKENS = 1 << 15
"""Of the calibration text: so many decide the codes of a matrix alone; all of them tune the model as a whole."""
STEPS = 200
"""Of tuning: fewer for a large model or a short text."""
MOST_READINGS = 3
"""How often tuning goes through the text: it is not to learn a short one by heart."""
WORK = 1_200_000_000
"""Steps times parameters, at most: about nine minutes of one core of a desktop computer."""

INT8 = Calibration()
"""Of a model without int4 matrices."""


@dataclass(frozen=True)
class Budget:
    """What a mixture of int4 and int8 may take.

    allowed: whether it may be these matrices that are int4, all others int8. growth: bytes that a matrix takes more as
    int8. name: says the same of another budget only if that allows the same.
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
    """The codes of all matrices of the blocks, or of those that a budget does not raise to int8.

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
    codes, values = tune(model, codes, int8, batches_of(sequences), Schedule(steps), step("tuning, step"))
    errors = {
        key: relative_output_error(getattr(model.blocks[key[0]], key[1]).astype(np.float64), grouped, inputs[key])
        for key, grouped in codes.items()
    }
    return Calibration(codes, values, errors)
