"""The layouts of the ESP32-S3's kernels: int8 rows as they are, padded to whole vectors, and int4 rows in pairs.

A byte of an int4 matrix has the codes of two rows, so that both are multiplied with the same numbers of an input. Eight
rows are a group. A group has 32 bytes for 32 columns of rows 0 and 1, then of rows 2 and 3 and so on, then the same for
the next 32 columns. After all codes come the scales: for each 32 columns, those of the eight rows. The lower half of a
byte is the code of the even row + 8, the upper half that of the odd row in two's complement. For each 32 columns an
input has the codes, padded with zeros, and 16 bytes with what the bias of the lower halves adds to a sum
(firmware/engine/kernels/xtensa_s3/row_pairs_int4.h).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tinyllm.codegen.arithmetic.integer_model import COLUMNS_OF_A_SCALE, scale_groups
from tinyllm.codegen.kernels.generic import GENERIC
from tinyllm.codegen.kernels.kernel_set import Codes, Groups, Int4Layout, Scales, grouped, padded

ROWS = 8
_BIAS = 8
_PART = ROWS // 2 * COLUMNS_OF_A_SCALE
"""Bytes of a group's codes in 32 columns."""
_INPUT_PART = COLUMNS_OF_A_SCALE + 16


def _input_bytes(columns: int) -> int:
    return scale_groups(columns) * _INPUT_PART


def _group_bytes(columns: int) -> int:
    return padded(scale_groups(columns) * (_PART + ROWS))


def _pack(codes: Codes, scales: Scales) -> Groups:
    columns = codes.shape[1]
    count = scale_groups(columns)
    rows = grouped(codes, ROWS, count * COLUMNS_OF_A_SCALE).reshape(-1, ROWS // 2, 2, count, COLUMNS_OF_A_SCALE)
    even, odd = (rows[:, :, 0] + _BIAS).view(np.uint8), rows[:, :, 1].view(np.uint8)
    filled = grouped(scales.view(np.int8), ROWS, count).view(np.uint8)
    packed = np.zeros((len(rows), _group_bytes(columns)), np.uint8)
    packed[:, : count * _PART] = (even | odd << 4).transpose(0, 2, 1, 3).reshape(len(rows), -1)
    packed[:, count * _PART : count * (_PART + ROWS)] = filled.transpose(0, 2, 1).reshape(len(rows), -1)
    return packed


def _unpack(groups: Groups, rows: int, columns: int) -> tuple[Codes, Scales]:
    count = scale_groups(columns)
    pairs = groups[:, : count * _PART].reshape(len(groups), count, ROWS // 2, COLUMNS_OF_A_SCALE).transpose(0, 2, 1, 3)
    even, odd = (pairs & 15).view(np.int8) - _BIAS, pairs.view(np.int8) >> 4
    codes = np.stack([even, odd], axis=2).reshape(len(groups) * ROWS, -1)[:rows, :columns]
    scales = groups[:, count * _PART : count * (_PART + ROWS)].reshape(len(groups), count, ROWS)
    return codes.astype(np.int8), scales.transpose(0, 2, 1).reshape(-1, count)[:rows]


XTENSA_S3 = replace(GENERIC, name="xtensa_s3", int4=Int4Layout(ROWS, _group_bytes, _input_bytes, _pack, _unpack))
