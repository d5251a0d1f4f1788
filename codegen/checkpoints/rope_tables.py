"""Recovers the rotary embedding from a file's tables of cosines and sines.

A table has a row for each position and a column for each pair of a head's elements. It holds the cosine, or the sine,
of position * frequency of the pair. A base gives the frequencies base ** (-pair / pairs) (Su et al., arXiv 2104.09864).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyllm.codegen.arithmetic.float_model import Rope
from tinyllm.errors import UserError

USUAL_BASE = 10000.0
MOST_DIGITS = 7
"""Significant digits of a base; a float32 table determines no more."""
SAME_FREQUENCY = 1e-6
"""The largest relative difference that two roundings to float32 explain."""
ROUNDING, ROUNDING_PER_RADIAN = 2e-6, 4e-7
"""How far a cosine may be off: rounding to float32 moves the cosine itself, and the angle it was computed from."""
CHUNK = 1 << 18
"""How many values are compared at a time."""

Table = NDArray[Any]


def rope_of_tables(path: Path, cosines: Table, sines: Table) -> Rope:
    """The rotary embedding with these tables, float32 (positions, pairs) each. Neighbouring elements rotate together.

    Its base is the one with the fewest digits that gives the tables. If no base does, its factors give the tables'
    frequencies. Raises UserError, naming the first wrong position, if no constant frequencies give the tables.
    """
    positions, pairs = cosines.shape
    frequencies = np.ones(pairs) if positions == 1 else _frequencies(cosines, sines)
    if not (frequencies > 0).all():
        raise _no_rotation(path, 1)
    wrong = 0
    for rope in _embeddings(frequencies) if positions > 1 else [Rope(USUAL_BASE, "interleaved", 2 * pairs)]:
        found = _first_wrong(rope, cosines, sines)
        if found is None:
            return rope
        wrong = found
    raise _no_rotation(path, wrong)


def _first_wrong(rope: Rope, cosines: Table, sines: Table) -> int | None:
    """The first position whose row of the tables the embedding does not give; None if it gives them all."""
    for first, angles in _angles(rope, len(cosines)):
        rows = slice(first, first + len(angles))
        allowed = ROUNDING + ROUNDING_PER_RADIAN * angles
        differences = np.maximum(np.abs(cosines[rows] - np.cos(angles)), np.abs(sines[rows] - np.sin(angles)))
        wrong = ~(differences <= allowed).all(axis=1)  # written so that a NaN is wrong too
        if wrong.any():
            return first + int(np.argmax(wrong))
    return None


def _frequencies(cosines: Table, sines: Table) -> NDArray[np.float64]:
    """Radians per position of each pair: estimated at position 1, then refined at every power of two.

    Values that are not finite give a NaN here; the comparison with the tables finds them.
    """
    with np.errstate(invalid="ignore"):
        frequencies = np.arctan2(sines[1], cosines[1], dtype=np.float64)
        position = 2
        while position < len(cosines):
            angles = np.arctan2(sines[position], cosines[position], dtype=np.float64)
            late = np.remainder(angles - position * frequencies + np.pi, 2 * np.pi) - np.pi
            frequencies += late / position
            position *= 2
    return frequencies


def _embeddings(frequencies: NDArray[np.float64]) -> Iterator[Rope]:
    """Embeddings with these frequencies: of bases, the one with the fewest digits first, and the last by factors."""
    pairs = len(frequencies)
    # The last pair determines the base best, because its exponent is the largest.
    estimate = USUAL_BASE if pairs == 1 else float(frequencies[-1] ** (-pairs / (pairs - 1)))
    for digits in range(1, MOST_DIGITS + 1):
        base = float(f"{estimate:.{digits - 1}e}")
        rope = Rope(base, "interleaved", 2 * pairs)
        if base >= 1.0 and np.allclose(rope.frequencies() / frequencies, 1.0, rtol=0, atol=SAME_FREQUENCY):
            yield rope
    usual = Rope(USUAL_BASE, "interleaved", 2 * pairs)
    yield replace(usual, factors=tuple((usual.frequencies() / frequencies).tolist()))


def _angles(rope: Rope, positions: int) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """The angles of all positions, in runs: the first position of a run, and the angles (positions, pairs) in it."""
    frequencies = rope.frequencies()
    step = max(1, CHUNK // len(frequencies))
    for first in range(0, positions, step):
        yield first, np.outer(np.arange(first, min(first + step, positions)), frequencies)


def _no_rotation(path: Path, position: int) -> UserError:
    return UserError(
        f"{path}: its tables of rotary cosines and sines are no rotary embedding: position {position} does not continue"
        " the turn of those before it;\nexport the checkpoint again, as version 1 or 2 with --rope-base if the base"
        " is not 10000"
    )
