"""Reads the rotary embedding that a config.json describes.

Formulas are those of transformers' modeling_rope_utils.py: linear (position interpolation, arXiv 2306.15595), llama3
(the Llama 3.1 release), longrope (arXiv 2402.13753). The type dynamic, which changes as the sequence grows, and the
type yarn are refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tinyllm.codegen.arithmetic.float_model import Rope
from tinyllm.codegen.checkpoints.huggingface.fields import Fields
from tinyllm.errors import UserError
from tinyllm.text import shown

KINDS = {"default": "default", "linear": "linear", "llama3": "llama3", "longrope": "longrope", "su": "longrope"}
PARAMETERS = {
    "rope_type",
    "type",
    "rope_theta",
    "factor",
    "partial_rotary_factor",
    "original_max_position_embeddings",
    "low_freq_factor",
    "high_freq_factor",
    "short_factor",
    "long_factor",
    "attention_factor",
}
FACTORS = (1e-3, 1e6)
"""The least and the largest divisor of a frequency; with others an angle would be noise."""


@dataclass(frozen=True)
class RopeReading:
    """reach: the number of positions that `rope` is right for. feature: what is unusual, in words, or None."""

    rope: Rope
    reach: int
    feature: str | None = None


def read_rope(fields: Fields, head_dim: int, trained: int, context: int | None, partial: bool) -> RopeReading:
    """The rotary embedding of a model trained for `trained` positions and built for `context` (None: the short range).

    Its parameters are in rope_scaling or, since transformers 5, in rope_parameters. rope_theta is in either of them or
    at the top level. partial: whether the model type may leave part of a head unrotated. Raises UserError naming the
    field.
    """
    key = "rope_scaling" if fields.inner("rope_scaling") else "rope_parameters"
    given = Fields(fields.path, fields.inner(key), f"{key}.")
    kind = given.get("rope_type", given.get("type", "default"))
    if not isinstance(kind, str) or kind not in KINDS:
        raise UserError(
            f"{fields.path}: {key} of type {shown(kind)} cannot be read, expected {', '.join(KINDS)};"
            " choose another model"
        )
    unknown = sorted(name for name, value in given.values.items() if name not in PARAMETERS and value is not None)
    if unknown:
        raise UserError(f"{fields.path}: {key} has {unknown[0][:80]!r}, which is unknown; choose another model")

    base = (given if given.get("rope_theta") is not None else fields).number("rope_theta", low=1.0)
    rotary_dim = _rotary_dim(fields, given, head_dim, partial)
    rope = Rope(base=base, pairing="half", rotary_dim=rotary_dim)
    if KINDS[kind] == "linear":
        factor = given.number("factor", None, *FACTORS)
        rope = Rope(base, "half", rotary_dim, (factor,) * (rotary_dim // 2))
        return RopeReading(rope, trained, f"linear rope scaling by {factor:g}")
    if KINDS[kind] == "llama3":
        return RopeReading(_llama3(fields, given, rope, trained), trained, "llama3 rope scaling")
    if KINDS[kind] == "longrope":
        return _longrope(fields, given, rope, trained, context)
    return RopeReading(rope, trained)


def _rotary_dim(fields: Fields, given: Fields, head_dim: int, partial: bool) -> int:
    source = given if given.get("partial_rotary_factor") is not None else fields
    part = source.number("partial_rotary_factor", 1.0, 0.0, 1.0)
    if part == 1.0:
        return head_dim
    if not partial:
        raise source.refusal("partial_rotary_factor", "1 for this model type", "choose another model")
    rotary_dim = int(head_dim * part)
    if rotary_dim < 2 or rotary_dim % 2:
        raise source.refusal(
            "partial_rotary_factor", f"an even part of the head size {head_dim}, not {rotary_dim}", "mend the file"
        )
    return rotary_dim


def _original_context(fields: Fields, given: Fields, trained: int) -> int:
    """The number of positions before the context was extended. As in transformers, the top level has precedence."""
    key = "original_max_position_embeddings"
    for source in (fields, given):
        if source.get(key) is not None:
            return source.dimension(key, "context")
    return trained


def _llama3(fields: Fields, given: Fields, rope: Rope, trained: int) -> Rope:
    """Divides the frequencies of long waves by `factor`, keeps those of short waves, and interpolates between them."""
    factor = given.number("factor", None, *FACTORS)
    low = given.number("low_freq_factor", None, *FACTORS)
    high = given.number("high_freq_factor", None, *FACTORS)
    if high <= low:
        raise given.refusal("high_freq_factor", f"more than low_freq_factor {low:g}")
    original = _original_context(fields, given, trained)
    factors = []
    for frequency in rope.frequencies():
        waves = original * float(frequency) / (2 * math.pi)
        kept = min(max((waves - low) / (high - low), 0.0), 1.0)
        factors.append(1 / ((1 - kept) / factor + kept))
    return Rope(rope.base, "half", rope.rotary_dim, tuple(factors))


def _longrope(fields: Fields, given: Fields, rope: Rope, trained: int, context: int | None) -> RopeReading:
    """One set of factors up to the original context, another beyond it. transformers goes by the sequence's length."""
    count = rope.rotary_dim // 2
    factors = {key: given.numbers(key, count, *FACTORS) for key in ("short_factor", "long_factor")}
    original = min(_original_context(fields, given, trained), trained)
    factor = given.number("factor", trained / original, *FACTORS)
    scaling = given.number("attention_factor", _attention_factor(fields, factor, original), 1e-3, 1e3)
    long = context is not None and context > original
    chosen = factors["long_factor" if long else "short_factor"]
    return RopeReading(
        Rope(rope.base, "half", rope.rotary_dim, chosen, scaling),
        trained if long else original,
        f"longrope, {'long' if long else 'short'} factors (short up to {original} positions, long up to {trained}),"
        f" attention scaled by {scaling:.4g}",
    )


def _attention_factor(fields: Fields, factor: float, original: int) -> float:
    if factor <= 1:
        return 1.0
    if original < 2:
        raise UserError(f"{fields.path}: original_max_position_embeddings is 1, expected 2 or more; mend the file")
    return math.sqrt(1 + math.log(factor) / math.log(original))
