"""int4 weights: codes within -8..7, and a scale for every 32 columns of a row.

A scale is a whole multiple, 1 to 255, of the row's mantissa. So a dot product stays integer: the sum over each group
of 32 columns is multiplied by the group's scale, and these products are added up over the row (docs/arithmetic.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinyllm.codegen.arithmetic.integer_model import COLUMNS_OF_A_SCALE, IntegerMatrix, scale_groups

F64 = NDArray[np.float64]

LOWEST, HIGHEST = -8, 7
"""The range of a code."""
MOST_SCALE = 255
"""The largest scale of a group, in units of its row."""
SMALLEST_SCALE = 2.0**-80
"""A row's largest scale is at least this, so that a row of zeros has a scale too."""


@dataclass(frozen=True)
class GroupedCodes:
    """Weights (rows, columns) = codes * the scale of their group.

    codes: int8 within LOWEST..HIGHEST (rows, columns). multiples: uint8 1..MOST_SCALE (rows, groups). units: float64
    (rows,); a scale is a multiple of its row's unit.
    """

    codes: NDArray[np.int8]
    multiples: NDArray[np.uint8]
    units: F64

    @classmethod
    def of(cls, codes: NDArray[np.int8], scales: F64) -> GroupedCodes:
        """The codes with the nearest scales (rows, groups) that can be held (see snap_scales)."""
        return cls(codes, *_factors(scales))

    @property
    def scales(self) -> F64:
        """The groups' scales, float64 (rows, groups)."""
        return self.multiples * self.units[:, None]

    def dequantized(self) -> F64:
        """The weights that the codes stand for, float64 (rows, columns)."""
        return self.codes * spread(self.scales, self.codes.shape[1])


def spread(scales: F64, columns: int) -> F64:
    """The scale of each column (rows, columns) from those of the groups (rows, groups)."""
    return np.repeat(scales, COLUMNS_OF_A_SCALE, axis=1)[:, :columns]


def round_to_nearest(weights: NDArray[np.floating]) -> GroupedCodes:
    """Round each weight to the nearest code; a group's scale is as small as its largest weight allows."""
    rows, columns = weights.shape
    filled = np.zeros((rows, scale_groups(columns) * COLUMNS_OF_A_SCALE))
    filled[:, :columns] = weights
    groups = filled.reshape(rows, -1, COLUMNS_OF_A_SCALE)
    scales = snap_scales(np.maximum(groups.max(axis=2) / HIGHEST, groups.min(axis=2) / LOWEST))
    codes = np.clip(np.rint(filled[:, :columns] / spread(scales, columns)), LOWEST, HIGHEST)
    return GroupedCodes.of(codes.astype(np.int8), scales)


def snap_scales(scales: F64) -> F64:
    """The nearest scales (rows, groups) that GroupedCodes can hold: in each row, whole multiples of one unit."""
    multiples, units = _factors(scales)
    return multiples * units[:, None]


def grouped_matrix(grouped: GroupedCodes) -> IntegerMatrix:
    """The matrix that kernels compute with: units become mantissas of 16 bits over one exponent."""
    exponent = math.frexp(max(float(np.max(grouped.units)), 2.0**-100))[1] - 16
    mantissa = np.clip(np.rint(grouped.units / 2.0**exponent), 1, 65535)
    return IntegerMatrix(grouped.codes, mantissa.astype(np.uint16), exponent, grouped.multiples)


def _factors(scales: F64) -> tuple[NDArray[np.uint8], F64]:
    """Multiples (rows, groups) and units (rows,)."""
    units = np.maximum(np.max(scales, axis=1), SMALLEST_SCALE) / MOST_SCALE
    return np.clip(np.rint(scales / units[:, None]), 1, MOST_SCALE).astype(np.uint8), units
