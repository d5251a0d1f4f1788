"""Second-order rounding: 4-bit codes and scales of one matrix that change its outputs on the calibration text least.

The error of codes is the sum of e H e^T over the rows. e is the row's change and H the second moments of the matrix's
inputs. Columns are rounded one after the other, and each error is spread over the columns still to come (GPTQ, Frantar
et al., arXiv 2210.17323). Then codes and scales are improved in turns: each code becomes the best while all others
stay, and each row's scales come from least squares.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tinyllm.codegen.arithmetic.int4 import HIGHEST, LOWEST, GroupedCodes, round_to_nearest, snap_scales, spread
from tinyllm.codegen.arithmetic.integer_model import COLUMNS_OF_A_SCALE as GROUP

F64 = NDArray[np.float64]

SEARCHED = np.linspace(0.5, 1.1, 31)
"""The scales tried for a group, as fractions of the scale that spans its largest weight."""

ROUNDS = 6
"""How often codes and scales are improved in turns."""

DAMPING = 0.01
"""Fraction of the mean second moment that is added to every input's, so that rare inputs do not run wild."""

ROWS_AT_ONCE = 1 << 22
"""Numbers in the largest temporary array while scales are fitted."""


def damped(moments: F64) -> F64:
    """Second moments (columns, columns) with DAMPING on the diagonal, so a column that is always zero has some too."""
    return moments + np.eye(len(moments)) * (DAMPING * np.mean(np.diag(moments)) + 1e-12)


def output_error(weights: F64, codes: GroupedCodes, moments: F64) -> float:
    """The mean square change of the outputs, summed over the rows: the trace of e H e^T."""
    change = weights - codes.dequantized()
    return float(np.sum((change @ moments) * change))


def relative_output_error(weights: F64, codes: GroupedCodes, moments: F64) -> float:
    """The root of output_error as a fraction of the outputs' own size."""
    size = float(np.sum((weights @ moments) * weights))
    return float(np.sqrt(output_error(weights, codes, moments) / size)) if size > 0 else 0.0


def round_second_order(weights: F64, moments: F64, rounds: int = ROUNDS) -> GroupedCodes:
    """Codes and scales of a matrix (rows, columns) for inputs with the damped second moments (columns, columns).

    An IntegerMatrix can hold these scales. The output_error is never larger than that of round_to_nearest.
    """
    rows, columns = weights.shape
    width = -(-columns // GROUP) * GROUP
    w, h = np.zeros((rows, width)), np.eye(width) * np.mean(np.diag(moments))
    w[:, :columns], h[:columns, :columns] = weights, moments
    scales = snap_scales(_searched_scales(w, np.diag(h)))
    candidates = []
    codes = _spread_errors(w, h, scales)
    for _ in range(rounds):
        codes = _descend(w, h, codes, scales)
        candidates.append((codes, scales))
        scales = snap_scales(_fitted_scales(w, h, codes, scales))
    codes = _descend(w, h, codes, scales)
    candidates.append((codes, scales))
    found = [round_to_nearest(weights)]
    found += [GroupedCodes.of(codes[:, :columns].astype(np.int8), scales) for codes, scales in candidates]
    return min(found, key=lambda each: output_error(weights, each, moments))


def _searched_scales(w: F64, importance: F64) -> F64:
    """For each group, the scale (rows, groups) with the least squared error, weighted by its inputs' second moments."""
    groups = w.reshape(len(w), -1, GROUP)
    weight = importance.reshape(-1, GROUP)
    span = np.maximum(np.abs(groups).max(axis=2), 1e-30) / -LOWEST
    best, least = span.copy(), np.full(span.shape, np.inf)
    for part in SEARCHED:
        scale = (span * part)[..., None]
        change = np.clip(np.rint(groups / scale), LOWEST, HIGHEST) * scale - groups
        error = np.einsum("rgc,rgc,gc->rg", change, change, weight)
        better = error < least
        best[better], least[better] = scale[better, 0], error[better]
    return best


def _spread_errors(w: F64, h: F64, scales: F64) -> F64:
    """Round column by column and spread each error over the columns to come, group by group. Returns the codes."""
    upper = np.linalg.cholesky(np.linalg.inv(h)).T
    w, codes = w.copy(), np.empty_like(w)
    for start in range(0, w.shape[1], GROUP):
        stop = start + GROUP
        here, scale, errors = w[:, start:stop], scales[:, start // GROUP], np.empty((len(w), GROUP))
        for i in range(GROUP):
            column = start + i
            codes[:, column] = np.clip(np.rint(here[:, i] / scale), LOWEST, HIGHEST)
            errors[:, i] = (here[:, i] - codes[:, column] * scale) / upper[column, column]
            here[:, i:] -= errors[:, i, None] * upper[column, column:stop]
        w[:, stop:] -= errors @ upper[start:stop, stop:]
    return codes


def _descend(w: F64, h: F64, codes: F64, scales: F64, sweeps: int = 4) -> F64:
    """Set each code in turn to the best while all others stay, until none changes or for `sweeps` rounds."""
    codes = codes.copy()
    slope = (w - codes * spread(scales, w.shape[1])) @ h
    for _ in range(sweeps):
        changed = False
        for start in range(0, w.shape[1], GROUP):
            stop = start + GROUP
            scale, local, inner = scales[:, start // GROUP], slope[:, start:stop].copy(), h[start:stop, start:stop]
            steps = np.zeros((len(w), GROUP))
            for i in range(GROUP):
                old = codes[:, start + i]
                new = np.clip(np.rint(old + local[:, i] / (inner[i, i] * scale)), LOWEST, HIGHEST)
                steps[:, i] = (new - old) * scale
                codes[:, start + i] = new
                local -= steps[:, i, None] * inner[i]
            if steps.any():
                changed = True
                slope -= steps @ h[start:stop]
        if not changed:
            break
    return codes


def _fitted_scales(w: F64, h: F64, codes: F64, scales: F64) -> F64:
    """The scales (rows, groups) with the least error for these codes; a group keeps its own if that is not positive."""
    fitted = scales.copy()
    n, width = scales.shape[1], w.shape[1]
    height = max(1, ROWS_AT_ONCE // (n * width))
    for row in range(0, len(w), height):
        part = slice(row, row + height)
        q = codes[part]
        right = ((w[part] @ h) * q).reshape(len(q), n, GROUP).sum(axis=2)
        left = np.empty((len(q), n, n))
        for g in range(n):
            group = slice(g * GROUP, (g + 1) * GROUP)
            left[:, :, g] = ((q[:, group] @ h[group]) * q).reshape(len(q), n, GROUP).sum(axis=2)
        diagonal = np.einsum("rgg->rg", left)
        diagonal += 1e-9 * diagonal.mean(axis=1, keepdims=True) + 1e-30
        solved = np.linalg.solve(left, right[..., None])[..., 0]
        fitted[part] = np.where(solved > 0, solved, scales[part])
    return fitted
