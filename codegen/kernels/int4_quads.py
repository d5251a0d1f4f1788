"""The layout of int4 matrices for Cortex-M0+: eight rows are a group, cut into quads of columns.

For every four columns a group has 16 bytes, two per row. The code of the first column is in the lowest four bits:

    bits   0-3       4-7         8-11        12-15       16-19       20-23 ...
    code   row 0, c  row 0, c+1  row 0, c+2  row 0, c+3  row 1, c    row 1, c+1 ...

Codes are stored plus 8: a negative code would borrow from the row above it. After each 32 columns, or the fewer last
ones, come the eight scales. An input has two words for the columns of a scale, and four words for each quad of columns
(firmware/engine/kernels/armv6m/dot_groups_int4.c).
"""

from __future__ import annotations

import numpy as np

from tinyllm.codegen.arithmetic.integer_model import COLUMNS_OF_A_SCALE, scale_groups
from tinyllm.codegen.kernels.kernel_set import Codes, Groups, Int4Layout, Scales, grouped, padded

ROWS = 8
_QUAD = 4
_QUAD_BYTES = 16
_BIAS = 8
_INPUT_WORDS = 2
"""Words of an input before the columns of each scale."""


def _quads(columns: int) -> int:
    return -(-columns // _QUAD)


def _group_bytes(columns: int) -> int:
    return padded(_QUAD_BYTES * _quads(columns) + ROWS * scale_groups(columns))


def _input_bytes(columns: int) -> int:
    return padded(_QUAD_BYTES * _quads(columns) + 4 * _INPUT_WORDS * scale_groups(columns))


def _places(columns: int) -> tuple[slice, ...]:
    """For each scale, the bytes of a group that hold the codes which share it. The scales follow these bytes."""
    quads = COLUMNS_OF_A_SCALE // _QUAD
    starts = range(0, _quads(columns), quads)
    ends = [min(start + quads, _quads(columns)) for start in starts]
    return tuple(
        slice(_QUAD_BYTES * start + ROWS * i, _QUAD_BYTES * end + ROWS * i)
        for i, (start, end) in enumerate(zip(starts, ends, strict=True))
    )


def _pack(codes: Codes, scales: Scales) -> Groups:
    columns, width = codes.shape[1], _quads(codes.shape[1]) * _QUAD
    nibbles = (grouped(codes, ROWS, width) + np.int8(_BIAS)).view(np.uint8)
    halves = (nibbles[..., 0::2] | nibbles[..., 1::2] << 4).reshape(len(nibbles), ROWS, -1, _QUAD // 2)
    quads = halves.transpose(0, 2, 1, 3).reshape(len(nibbles), -1)
    filled = grouped(scales.view(np.int8), ROWS, scales.shape[1]).view(np.uint8)
    packed = np.zeros((len(nibbles), _group_bytes(columns)), np.uint8)
    for i, place in enumerate(_places(columns)):
        packed[:, place] = quads[:, place.start - ROWS * i : place.stop - ROWS * i]
        packed[:, place.stop : place.stop + ROWS] = filled[..., i]
    return packed


def _unpack(groups: Groups, rows: int, columns: int) -> tuple[Codes, Scales]:
    places = _places(columns)
    quads = np.concatenate([groups[:, place] for place in places], axis=1)
    halves = quads.reshape(len(groups), -1, ROWS, _QUAD // 2).transpose(0, 2, 1, 3)
    nibbles = np.stack([halves & 15, halves >> 4], axis=-1).reshape(len(groups) * ROWS, -1)
    scales = np.stack([groups[:, place.stop : place.stop + ROWS] for place in places], axis=-1)
    codes = nibbles.view(np.int8) - np.int8(_BIAS)
    return codes[:rows, :columns], scales.reshape(len(groups) * ROWS, -1)[:rows]


INT4_QUADS = Int4Layout(ROWS, _group_bytes, _input_bytes, _pack, _unpack)
