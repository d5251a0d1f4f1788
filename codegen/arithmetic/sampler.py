"""Sampling in integers: the specification that firmware/engine/sampler.c mirrors. docs/sampling.md explains it.

The steps, in order: repetition penalty, temperature, top_k, top_p, min_p, draw. Logits and real-valued settings are
Q16.16, probabilities Q30 relative to the likeliest token.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinyllm.codegen.arithmetic.fixedpoint import exp2_q30, rounding_shift, saturate
from tinyllm.codegen.arithmetic.sampler_settings import ONE, SAMPLING, SETTINGS, Setting, Unit

I64 = NDArray[np.int64]

LOG2E_Q58 = 415828534307635078
"""log2(e) in Q58, to nearest."""

LN2_Q27 = 93032640
"""ln(2) in Q27, to nearest."""

OUT_OF_REACH = 32 * ONE
"""The exponent of a token that is never drawn: its probability is 0."""

FARTHEST = 2**30
"""A token whose logit is this far below the largest is out of reach at every temperature: 100 * 30 * ln(2) < 2**12."""


@dataclass(frozen=True)
class SamplerSettings:
    """How to sample, integers as on the wire; the defaults are what a board starts with. Their ranges: SETTINGS.

    temperature: 0 is greedy. top_k: 0 keeps all tokens, as does the size of the vocabulary or more. Raises UserError if
    a value is out of its range.
    """

    temperature: int = SETTINGS[Setting.TEMPERATURE].start
    top_k: int = SETTINGS[Setting.TOP_K].start
    top_p: int = SETTINGS[Setting.TOP_P].start
    min_p: int = SETTINGS[Setting.MIN_P].start
    repetition_penalty: int = SETTINGS[Setting.REPETITION_PENALTY].start

    def __post_init__(self) -> None:
        for setting in SAMPLING:
            row = SETTINGS[setting]
            value = getattr(self, row.name)
            row.encode(value / ONE if row.unit is Unit.Q16 else value)

    @classmethod
    def from_float(cls, **values: float) -> SamplerSettings:
        """Settings by name, real values to the nearest Q16.16; UserError if one is not a number or out of range."""
        rows = {SETTINGS[setting].name: SETTINGS[setting] for setting in SAMPLING}
        return cls(**{name: rows[name].encode(value) for name, value in values.items()})


class Random:
    """PCG32, XSH-RR 64/32 (O'Neill, HMC-CS-2014-0905; pcg32_srandom_r and pcg32_random_r of pcg_basic.c), stream 54."""

    MULTIPLIER = 6364136223846793005
    INCREMENT = 54 << 1 | 1

    def __init__(self, seed: int) -> None:
        """seed: uint32."""
        self.state = 0
        self.next()
        self.state += seed
        self.next()

    def next(self) -> int:
        """The next uniform uint32."""
        old = self.state
        self.state = (old * self.MULTIPLIER + self.INCREMENT) % 2**64
        xorshifted = ((old >> 18 ^ old) >> 27) % 2**32
        rotation = old >> 59
        return (xorshifted >> rotation | xorshifted << (32 - rotation)) % 2**32


def penalize(logits: I64, recent: Iterable[int], penalty: int) -> I64:
    """Repetition penalty (Keskar et al., arXiv 1909.05858, as Hugging Face applies it): logits (vocab,) Q16.16.

    The logit of each token in `recent` is changed once: divided by the penalty if positive, multiplied by it if
    negative, rounded to nearest (ties up) and saturated. The division is by a rounded reciprocal of 40 fraction bits.
    """
    result: I64 = logits.copy()
    tokens = np.unique(np.fromiter(recent, np.int64))
    reciprocal = (2**40 + penalty // 2) // penalty
    before = logits[tokens]
    divided = rounding_shift(np.maximum(before, 0) * reciprocal, 24)  # < 2**31 * 2**31
    multiplied = rounding_shift(np.minimum(before, 0) * penalty, 16)  # > -(2**31 * 2**23)
    result[tokens] = saturate(np.where(before > 0, divided, multiplied))
    return result


def lowered(logits: I64, handicaps: I64) -> I64:
    """Logits (vocab,) minus the handicaps, at least -(2**31 - 1), as minus the distance to the largest result.

    A distance is at most FARTHEST. A token whose handicap is FARTHEST has that distance, is not drawn, and does not
    count for the largest. At least one token needs a smaller handicap.
    """
    allowed = handicaps < FARTHEST
    lower = np.maximum(logits - handicaps, -(2**31) + 1)
    return -np.where(allowed, np.minimum(np.max(lower[allowed]) - lower, FARTHEST), FARTHEST)


def exponents(logits: I64, temperature: int) -> I64:
    """Exponents z (vocab,), Q16.16: a token is 2**-z times as likely as the likeliest, whose z is 0.

    z is the distance to the largest logit times log2(e) / temperature, a multiplier of 21 bits, rounded down. A token
    is OUT_OF_REACH if even a whole vocabulary of tokens like it would weigh less than 2**-15 of the likeliest.
    """
    reciprocal = (LOG2E_Q58 + temperature // 2) // temperature  # of log2(e) / temperature in Q42
    length = reciprocal.bit_length()  # 36 to 59
    multiplier = rounding_shift(reciprocal, length - 21)  # 2**20 to 2**21
    distance = np.max(logits) - logits
    scaled = rounding_shift(distance << length - 35, 6)
    octaves = min(15 + (len(logits) - 1).bit_length(), 30)
    farthest = temperature * octaves * LN2_Q27 >> 27
    return np.where(distance <= farthest, np.minimum(scaled, 2**23) * multiplier >> 22, OUT_OF_REACH)


def candidates(z: I64, top_k: int, top_p: int, min_p: int) -> I64:
    """Ids that may be drawn, ascending. The filters rank tokens by exponent, then by id, smallest first."""
    p = exp2_q30(-z)
    order = np.argsort(z, kind="stable")
    if top_k > 0:
        order = order[:top_k]
    sums = np.cumsum(p[order])
    enough = -(-top_p * int(sums[-1]) // ONE)
    order = order[: np.searchsorted(sums, enough) + 1]
    order = order[p[order] >= min_p << 14]  # the likeliest is 2**30
    return np.sort(order)


class Sampler:
    """Settings and a random state: `sample` gives the same token as a board with the same seed and logits."""

    def __init__(self, settings: SamplerSettings, seed: int) -> None:
        """seed: any uint32."""
        SETTINGS[Setting.SEED].encode(seed)
        self.settings = settings
        self.random = Random(seed)

    def sample(self, logits: ArrayLike, recent: Iterable[int] = (), handicaps: I64 | None = None) -> int:
        """Draw a token id from logits int32 (vocab,) Q16.16, which stay unchanged; `recent`: tokens to penalise.

        handicaps (vocab,), Q16.16: subtracted from the logits, FARTHEST for a token that may not be drawn.

        Greedy sampling (the lowest id of the largest logit) takes no random number, any other takes one.
        """
        settings = self.settings
        penalized = np.asarray(logits, np.int64)
        if settings.repetition_penalty != ONE:
            penalized = penalize(penalized, recent, settings.repetition_penalty)
        if handicaps is not None:
            penalized = lowered(penalized, handicaps)
        if settings.temperature == 0:
            return int(np.argmax(penalized))
        z = exponents(penalized, settings.temperature)
        kept = candidates(z, settings.top_k, settings.top_p, settings.min_p)
        sums = np.cumsum(exp2_q30(-z[kept]))
        drawn = self.random.next() * int(sums[-1]) >> 32
        return int(kept[np.searchsorted(sums, drawn, side="right")])
