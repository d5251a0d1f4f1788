"""Choose codes block after block: the inputs that a matrix sees on the calibration text decide its codes.

Two residual streams are carried from block to block, the float model's and that of the model quantised so far, so
that no forward pass starts again from the tokens. A matrix is fitted so that its outputs on the second stream's inputs
approach the float outputs on the first stream's (the asymmetric target of GPTAQ, Li et al., arXiv 2504.02692).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tinyllm.codegen.arithmetic.float_model import F32, Block, Model, ModelConfig
from tinyllm.codegen.arithmetic.int4 import GroupedCodes
from tinyllm.codegen.arithmetic.quantize import quantize_rows
from tinyllm.codegen.calibration import passes
from tinyllm.codegen.calibration.passes import Batch, Mask
from tinyllm.codegen.calibration.rounding import damped, round_second_order

F64 = NDArray[np.float64]

FINAL = -1
"""Replaces the stored block in the keys of the embedding, final norm and head, which belong to the whole model."""

SHARED_INPUTS = (("wq", "wk", "wv"), ("wo",), ("w_gate", "w_up"), ("w_down",))
"""The matrices of a block, in sets that take the same input."""

CORRECTION = 0.5
"""How far a matrix corrects the errors of earlier ones: 0 not at all, 1 as far as it can on the calibration text."""

Key = tuple[int, str]
"""A matrix or gain: its stored block and field."""

Codes = dict[Key, GroupedCodes]

Inputs = dict[Key, F64]
"""Second moments of the inputs of a matrix, float64 (columns, columns); matrices of one set share an array."""


@dataclass
class Moments:
    """Sums over tokens of products of a matrix's inputs, float64 (columns, columns).

    own: its inputs in the model quantised so far. mixed: its inputs in the float model (rows) with those (columns).
    """

    own: F64
    mixed: F64
    tokens: int = 0

    @classmethod
    def of(cls, columns: int) -> Moments:
        return cls(np.zeros((columns, columns)), np.zeros((columns, columns)))

    def add(self, ours: F32, theirs: F32, real: Mask) -> None:
        """Add inputs (B, T, columns) of the quantised and the float model, those of the real tokens."""
        own, other = ours[real], theirs[real]
        self.own += own.T @ own
        self.mixed += other.T @ own
        self.tokens += len(own)

    @property
    def damped(self) -> F64:
        """Second moments of a token's inputs, damped."""
        return damped(self.own / self.tokens)

    def target(self) -> F64:
        """The matrix that the float weights are multiplied by to give those that the codes should stand for."""
        own = self.damped
        # The damping belongs to both, so that without errors the target is the identity.
        mixed = self.mixed / self.tokens + own - self.own / self.tokens
        return np.eye(len(own)) + CORRECTION * (mixed - own) @ np.linalg.inv(own)


def calibrate_layers(
    model: Model,
    batches: Sequence[Batch],
    int8: Collection[Key] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Codes, Inputs]:
    """The 4-bit codes of every matrix of the blocks that is not in `int8`, and the second moments of its inputs.

    progress is called with the number of matrices done, and the number of all.
    """
    found: Codes = {}
    inputs: Inputs = {}

    def told(of_block: int) -> None:
        progress(len(found) + of_block, len(wanted))

    done: dict[int, Block] = {}
    wanted = [key for key in matrices(model) if key not in int8]
    theirs = [model.embedding[batch.tokens] for batch in batches]
    ours = list(theirs)
    layer = 0
    for stored, run in itertools.groupby(model.config.schedule):
        layers = range(layer, layer + len(list(run)))
        layer = layers.stop
        if stored in done:  # its earlier passes had other blocks after them
            block = done[stored]
        else:
            walk = _Block(model, stored, layers, batches, wanted, told)
            block = done[stored] = walk.quantise(ours, theirs)
            found |= walk.codes
            inputs |= walk.inputs
            ours, theirs = walk.ours, walk.theirs
            layers = layers[1:]
        for at in layers:
            ours = [behind_block(block, x, model.config, at) for x in ours]
            theirs = [behind_block(model.blocks[stored], y, model.config, at) for y in theirs]
    return found, inputs


class _Block:
    """One stored block while it is quantised: its codes, and both residual streams after it, batch by batch."""

    def __init__(
        self,
        model: Model,
        stored: int,
        layers: range,
        batches: Sequence[Batch],
        wanted: Collection[Key],
        progress: Callable[[int], None],
    ) -> None:
        self.wanted = wanted
        self.config, self.layers, self.batches, self.progress = model.config, layers, batches, progress
        self.stored, self.float = stored, model.blocks[stored]
        self.quantised = replace(self.float)
        self.codes: Codes = {}
        self.inputs: Inputs = {}

    def quantise(self, ours: list[F32], theirs: list[F32]) -> Block:
        """Decide all codes from the residual streams before the block; set the streams after its first pass."""
        config, at = self.config, self.layers[0]
        new, old = self.quantised, self.float
        moments = self._later_passes(ours, theirs)
        own = [passes.attention_input(new, x, config) for x in ours]
        other = [passes.attention_input(old, y, config) for y in theirs]
        self._fit(0, moments, own, other)
        own = [passes.attend(new, h, config, at) for h in own]
        other = [passes.attend(old, h, config, at) for h in other]
        self._fit(1, moments, own, other)
        ours = [passes.after_attention(new, x, a) for x, a in zip(ours, own, strict=True)]
        theirs = [passes.after_attention(old, y, a) for y, a in zip(theirs, other, strict=True)]
        own = [passes.feed_forward_input(new, x, config) for x in ours]
        other = [passes.feed_forward_input(old, y, config) for y in theirs]
        self._fit(2, moments, own, other)
        own = [passes.hidden(new, h) for h in own]
        other = [passes.hidden(old, h) for h in other]
        self._fit(3, moments, own, other)
        self.ours = [passes.after_feed_forward(new, x, h) for x, h in zip(ours, own, strict=True)]
        self.theirs = [passes.after_feed_forward(old, y, h) for y, h in zip(theirs, other, strict=True)]
        return new

    def _later_passes(self, ours: list[F32], theirs: list[F32]) -> list[Moments]:
        """For each set of SHARED_INPUTS, the moments in the passes after the first, run with the float block."""
        moments = [Moments.of(getattr(self.float, names[0]).shape[1]) for names in SHARED_INPUTS]
        if len(self.layers) > 1:
            for x, y, batch in zip(ours, theirs, self.batches, strict=True):
                for at in self.layers:
                    x, own = _traced(self.float, x, self.config, at)
                    y, other = _traced(self.float, y, self.config, at)
                    if at != self.layers[0]:
                        for each, a, b in zip(moments, own, other, strict=True):
                            each.add(a, b, batch.real)
        return moments

    def _fit(self, stage: int, moments: list[Moments], own: list[F32], other: list[F32]) -> None:
        """Decide the matrices of a set from their inputs in the quantised model, `own`, and in the float, `other`."""
        names = [name for name in SHARED_INPUTS[stage] if (self.stored, name) in self.wanted]
        for name in set(SHARED_INPUTS[stage]) - set(names):
            rows = quantize_rows(getattr(self.float, name))
            setattr(self.quantised, name, rows.dequantized().astype(np.float32))
        if not names:
            return
        for a, b, batch in zip(own, other, self.batches, strict=True):
            moments[stage].add(a, b, batch.real)
        own_moments, target = moments[stage].damped, moments[stage].target()
        for name in names:
            weights = getattr(self.float, name).astype(np.float64)
            self.inputs[self.stored, name] = own_moments
            codes = self.codes[self.stored, name] = round_second_order(weights @ target, own_moments)
            setattr(self.quantised, name, codes.dequantized().astype(np.float32))
            self.progress(len(self.codes))


def matrices(model: Model) -> list[Key]:
    """Every matrix of the blocks."""
    return [(stored, name) for stored in range(len(model.blocks)) for names in SHARED_INPUTS for name in names]


def behind_block(block: Block, x: F32, config: ModelConfig, layer: int) -> F32:
    """The residual stream after a pass through a block."""
    return _traced(block, x, config, layer)[0]


def _traced(block: Block, x: F32, config: ModelConfig, layer: int) -> tuple[F32, list[F32]]:
    """The residual stream after a block, and the input of each set of SHARED_INPUTS."""
    h = passes.attention_input(block, x, config)
    attended = passes.attend(block, h, config, layer)
    x = passes.after_attention(block, x, attended)
    g = passes.feed_forward_input(block, x, config)
    inner = passes.hidden(block, g)
    return passes.after_feed_forward(block, x, inner), [h, attended, g, inner]


def with_values(model: Model, values: Mapping[Key, F32]) -> Model:
    """The model with these matrices or gains replaced, by stored block and field, or by FINAL and field."""
    blocks = [
        replace(block, **{name: value for (at, name), value in values.items() if at == stored})
        for stored, block in enumerate(model.blocks)
    ]
    whole = {name: values.get((FINAL, name), getattr(model, name)) for name in ("embedding", "final_norm", "head")}
    return Model(model.config, blocks=blocks, **whole)
