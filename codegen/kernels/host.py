"""The layouts of this computer's kernels: int8 rows as they are; int4 matrices in groups of eight rows.

Each 32 bytes of a group hold the codes + 8 of eight rows: four columns in the lower halves of the bytes, the next four
columns in their upper halves. So 128 bytes are 32 columns. After all codes of a group come the scales: for each 32
columns, those of the eight rows. For each 32 columns an input has the codes, padded with zeros, and a word for the bias
(firmware/engine/kernels/host/dot_groups_int4.c).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tinyllm.codegen.arithmetic.integer_model import COLUMNS_OF_A_SCALE, scale_groups
from tinyllm.codegen.kernels.generic import GENERIC
from tinyllm.codegen.kernels.kernel_set import Codes, Groups, Int4Layout, Scales, grouped, padded

ROWS, QUAD = 8, 4
_BIAS = 8
_PART = ROWS // 2 * COLUMNS_OF_A_SCALE
"""Bytes of a group's codes in 32 columns."""
_INPUT_PART = COLUMNS_OF_A_SCALE + 4


def _input_bytes(columns: int) -> int:
    return scale_groups(columns) * _INPUT_PART


def _group_bytes(columns: int) -> int:
    return padded(scale_groups(columns) * (_PART + ROWS))


def _pack(codes: Codes, scales: Scales) -> Groups:
    count = scale_groups(codes.shape[1])
    biased = (grouped(codes, ROWS, count * COLUMNS_OF_A_SCALE) + _BIAS).view(np.uint8)
    quads = biased.reshape(len(biased), ROWS, -1, 2, QUAD).transpose(3, 0, 2, 1, 4)
    filled = grouped(scales.view(np.int8), ROWS, count).view(np.uint8)
    packed = np.zeros((len(biased), _group_bytes(codes.shape[1])), np.uint8)
    packed[:, : count * _PART] = (quads[0] | quads[1] << 4).reshape(len(biased), -1)
    packed[:, count * _PART : count * (_PART + ROWS)] = filled.transpose(0, 2, 1).reshape(len(biased), -1)
    return packed


def _unpack(groups: Groups, rows: int, columns: int) -> tuple[Codes, Scales]:
    count = scale_groups(columns)
    quads = groups[:, : count * _PART].reshape(len(groups), -1, ROWS, QUAD)
    both = np.stack([quads & 15, quads >> 4], axis=2).view(np.int8) - np.int8(_BIAS)
    codes = both.transpose(0, 3, 1, 2, 4).reshape(len(groups) * ROWS, -1)
    scales = groups[:, count * _PART : count * (_PART + ROWS)].reshape(len(groups), count, ROWS)
    return codes[:rows, :columns], scales.transpose(0, 2, 1).reshape(-1, count)[:rows]


HOST = replace(GENERIC, name="host", int4=Int4Layout(ROWS, _group_bytes, _input_bytes, _pack, _unpack))
