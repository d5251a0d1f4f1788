"""Tune a quantised model as a whole: codes, scales and all other values move towards the float model's predictions.

The float model is the teacher, so little text is enough. The aim is its distribution of the next token, with the
text's own token mixed in (Hinton et al., arXiv 1503.02531). Each code has a hidden value between codes that moves; its
gradient is that of the nearest code (the straight-through estimate of Bengio et al., arXiv 1308.3432). Scales follow
their gradients as in LSQ (Esser et al., arXiv 1902.08153). Steps are those of Adam (Kingma and Ba, arXiv 1412.6980).
Their size warms up, then falls along a cosine to zero.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from tinyllm.codegen.arithmetic.float_forward import rmsnorm
from tinyllm.codegen.arithmetic.float_model import F32, Model
from tinyllm.codegen.arithmetic.int4 import HIGHEST, LOWEST, GroupedCodes, snap_scales, spread
from tinyllm.codegen.arithmetic.integer_model import COLUMNS_OF_A_SCALE
from tinyllm.codegen.calibration.gradients import divergence_gradients
from tinyllm.codegen.calibration.layerwise import FINAL, Codes, Key, behind_block, with_values
from tinyllm.codegen.calibration.passes import Batch, workers

SEED = 20240229
STEP_TOKENS = 2048
"""Tokens of a step."""
CODE_RATE, SCALE_RATE, VALUE_RATE = 0.005, 0.002, 0.002
"""How far a step moves a hidden value, in codes; a scale, relative; any other value, relative to its array's mean."""
LARGEST_HEAD = 1 << 20
"""A head with more numbers than this is not tuned."""
WARM_UP = 10
"""Steps until the full rate."""
BETAS = 0.9, 0.99
"""The decay of Adam's two running means."""
INSIDE = 0.45
"""How far from its code a hidden value may begin; at 0.5 the next code begins."""

Values = dict[Key, F32]
"""Gains, and matrices that are not int4."""


@dataclass(frozen=True)
class Schedule:
    """The rate of each step. steps: how many there are. Each takes STEP_TOKENS tokens."""

    steps: int

    def rate(self, step: int) -> float:
        """The fraction of the full rates that step 0, 1, ... uses."""
        return float(min(1.0, (step + 1) / WARM_UP) * 0.5 * (1 + np.cos(np.pi * step / self.steps)))


class _Adam:
    """The direction of a step for each array."""

    def __init__(self) -> None:
        self.first: dict[object, Any] = {}
        self.second: dict[object, Any] = {}
        self.steps: dict[object, int] = {}

    def direction(self, key: object, gradient: F32) -> F32:
        """The direction for this gradient, about 1 in size if the gradient keeps its sign."""
        a, b = BETAS
        first = self.first[key] = a * self.first.get(key, 0) + (1 - a) * gradient
        second = self.second[key] = b * self.second.get(key, 0) + (1 - b) * np.square(gradient)
        count = self.steps[key] = self.steps.get(key, 0) + 1
        return first / (1 - a**count) / (np.sqrt(second / (1 - b**count)) + np.float32(1e-12))


class _Matrix:
    """An int4 matrix while it is tuned. hidden: values between codes (rows, columns). logs: the logs of the scales."""

    def __init__(self, weights: F32, grouped: GroupedCodes) -> None:
        between = weights / spread(grouped.scales, weights.shape[1]) - grouped.codes
        self.hidden = (grouped.codes + np.clip(between, -INSIDE, INSIDE)).astype(np.float32)
        self.logs = np.log(grouped.scales).astype(np.float32)
        self.look()

    def look(self) -> None:
        """Set codes, scales and values from `hidden` and `logs`."""
        self.codes = np.clip(np.rint(self.hidden), LOWEST, HIGHEST)
        self.scales: F32 = np.exp(self.logs)
        self.wide = np.repeat(self.scales, COLUMNS_OF_A_SCALE, axis=1)[:, : self.hidden.shape[1]]
        self.values: F32 = self.codes * self.wide

    def step(self, key: Key, gradient: F32, adam: _Adam, rate: float) -> None:
        """Move against the gradient of the values."""
        inside = (self.hidden > LOWEST - 0.5) & (self.hidden < HIGHEST + 0.5)
        rows, columns = gradient.shape
        filled = np.zeros((rows, self.logs.shape[1] * COLUMNS_OF_A_SCALE), np.float32)
        filled[:, :columns] = gradient * self.values
        of_logs = filled.reshape(rows, -1, COLUMNS_OF_A_SCALE).sum(axis=2)
        self.hidden -= np.float32(rate * CODE_RATE) * adam.direction((key, "codes"), gradient * self.wide * inside)
        self.logs -= np.float32(rate * SCALE_RATE) * adam.direction((key, "scales"), of_logs)
        self.look()

    def grouped(self) -> GroupedCodes:
        """The codes, with scales that an IntegerMatrix can hold."""
        return GroupedCodes.of(self.codes.astype(np.int8), snap_scales(self.scales.astype(np.float64)))


def tune(
    model: Model,
    start: Codes,
    int8: Collection[Key],
    batches: Sequence[Batch],
    schedule: Schedule,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Codes, Values]:
    """Tune codes, and the values that are not int4, so that the model diverges less from the float model.

    int8: the matrices of the blocks that are not int4. They are tuned too, and so is the head, unless it is large.
    progress is called with the number of steps done, and the number of all.
    """
    held = {key: _Matrix(getattr(model.blocks[key[0]], key[1]), codes) for key, codes in start.items()}
    values: Values = {(FINAL, "final_norm"): model.final_norm.copy()}
    for stored, block in enumerate(model.blocks):
        values |= {(stored, name): getattr(block, name).copy() for name in ("attn_norm", "ffn_norm")}
    values |= {(stored, name): getattr(model.blocks[stored], name).copy() for stored, name in sorted(int8)}
    of_head = model.output_head.size <= LARGEST_HEAD
    if of_head:
        values[FINAL, "embedding" if model.head is None else "head"] = model.output_head.copy()
    sizes = {key: np.float32(np.mean(np.abs(value))) for key, value in values.items()}
    adam, turns = _Adam(), _turns(len(batches))
    with workers() as threads:
        teacher = list(threads.map(partial(_taught, model), batches))
        for step in range(schedule.steps):
            tuned = with_values(model, values | {key: matrix.values for key, matrix in held.items()})
            some: list[int] = []
            while sum(int(batches[at].real.sum()) for at in some) < STEP_TOKENS:
                some.append(next(turns))
            weight = 1 / sum(int(batches[at].real.sum()) for at in some)
            gradients = partial(divergence_gradients, tuned, weight=weight, aim=model.output_head, of_head=of_head)
            total: dict[Key, F32] = {}
            for _, found in threads.map(gradients, [batches[at] for at in some], [teacher[at] for at in some]):
                for key, gradient in found.items():
                    total[key] = total[key] + gradient if key in total else gradient
            rate = schedule.rate(step)
            for key, matrix in held.items():
                matrix.step(key, total[key], adam, rate)
            for key, value in values.items():
                value -= np.float32(rate * VALUE_RATE) * sizes[key] * adam.direction(key, total[key])
            progress(step + 1, schedule.steps)
    return {key: matrix.grouped() for key, matrix in held.items()}, values


def _taught(model: Model, batch: Batch) -> F32:
    """The input of the float model's head, (B, T, dim)."""
    x = model.embedding[batch.tokens]
    for layer, stored in enumerate(model.config.schedule):
        x = behind_block(model.blocks[stored], x, model.config, layer)
    return rmsnorm(x, model.final_norm, model.config.norm_epsilon)


def _turns(count: int) -> Iterator[int]:
    """Indices of batches without end: all of them in one random order, then all in another."""
    random = np.random.Generator(np.random.PCG64(SEED))
    while True:
        yield from random.permutation(count).tolist()
