"""The layout for Cortex-M0+, which has no SIMD: two products come from one 32-bit multiplication.

Four rows are a group. For each pair of columns it has two words, one for rows 0 and 1 and one for rows 2 and 3:

    byte   0            1            2            3
    code   row 0, c     row 0, c+1   row 1, c     row 1, c+1

Codes are stored plus 128: a negative code would borrow from the lane above it. An input has three words for each pair
of columns. The inputs of four tokens together have a word for each column of two tokens
(firmware/engine/kernels/armv6m/dot_tokens.c).
"""

from __future__ import annotations

import numpy as np

from tinyllm.codegen.kernels.int4_quads import INT4_QUADS
from tinyllm.codegen.kernels.kernel_set import Codes, Groups, HotBytes, Int8Layout, KernelSet, grouped, padded

_ROWS = 4
_BIAS = 0x80
_PAIR_BYTES = 12


def _group_bytes(columns: int) -> int:
    return _ROWS * padded(columns)


def _input_bytes(columns: int) -> int:
    return padded(columns) // 2 * _PAIR_BYTES


def _pack(codes: Codes) -> Groups:
    columns = padded(codes.shape[1])
    groups = grouped(codes, _ROWS, columns)
    pairs = groups.reshape(len(groups), 2, 2, columns // 2, 2).transpose(0, 3, 1, 2, 4)  # pair, word, row, column
    return np.ascontiguousarray(pairs).reshape(len(groups), -1).view(np.uint8) ^ np.uint8(_BIAS)


def _unpack(groups: Groups, rows: int, columns: int) -> Codes:
    pairs = (groups ^ np.uint8(_BIAS)).view(np.int8).reshape(len(groups), -1, 2, 2, 2)
    return pairs.transpose(0, 2, 3, 1, 4).reshape(len(groups) * _ROWS, -1)[:rows, :columns]


ARMV6M = KernelSet(
    "armv6m",
    Int8Layout(_ROWS, _group_bytes, _input_bytes, _pack, _unpack),
    INT4_QUADS,
    tokens=4,
    hot_bytes=HotBytes(int8=12_288, int4=3_968, int4_cache=1_280),
)
