"""The portable layout of int4 matrices, which vector units read as well: eight rows are a group.

A group has 32 columns of row 0, then of row 1 and so on, then the next 32 columns of each row. After all codes come
the scales, in the same order. 16 bytes hold the codes of 32 columns: byte i has column i in its lower half and column
i + 16 in its upper half, each in two's complement. An input is its codes, padded with zeros to whole groups of columns
(firmware/engine/kernels/generic/layout_int4.h).
"""

from __future__ import annotations

import numpy as np

from tinyllm.codegen.arithmetic.integer_model import COLUMNS_OF_A_SCALE, scale_groups
from tinyllm.codegen.kernels.kernel_set import Codes, Groups, Int4Layout, Scales, grouped, padded

ROWS = 8
_HALF = COLUMNS_OF_A_SCALE // 2


def _input_bytes(columns: int) -> int:
    return scale_groups(columns) * COLUMNS_OF_A_SCALE


def _group_bytes(columns: int) -> int:
    return padded(ROWS * scale_groups(columns) * (_HALF + 1))


def _pack(codes: Codes, scales: Scales) -> Groups:
    columns = codes.shape[1]
    count = scale_groups(columns)
    groups = grouped(codes, ROWS, count * COLUMNS_OF_A_SCALE).reshape(-1, ROWS, count, 2, _HALF).view(np.uint8)
    halves = (groups[..., 0, :] & 15) | (groups[..., 1, :] << 4)
    filled = grouped(scales.view(np.int8), ROWS, count).view(np.uint8)
    packed = np.zeros((len(groups), _group_bytes(columns)), np.uint8)
    packed[:, : ROWS * count * _HALF] = halves.transpose(0, 2, 1, 3).reshape(len(groups), -1)
    packed[:, ROWS * count * _HALF : ROWS * count * (_HALF + 1)] = filled.transpose(0, 2, 1).reshape(len(groups), -1)
    return packed


def _unpack(groups: Groups, rows: int, columns: int) -> tuple[Codes, Scales]:
    count = scale_groups(columns)
    halves = groups[:, : ROWS * count * _HALF].reshape(len(groups), count, ROWS, _HALF).transpose(0, 2, 1, 3)
    both = np.stack([halves << 4, halves & 0xF0], axis=3).view(np.int8) >> 4
    scales = groups[:, ROWS * count * _HALF : ROWS * count * (_HALF + 1)].reshape(len(groups), count, ROWS)
    codes = both.reshape(len(groups) * ROWS, -1)[:rows, :columns]
    return codes, scales.transpose(0, 2, 1).reshape(-1, count)[:rows]


INT4_ROWS = Int4Layout(ROWS, _group_bytes, _input_bytes, _pack, _unpack)
