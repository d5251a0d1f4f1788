"""The layouts of kernels that multiply two rows at once, biased so that no code is negative.

int8: codes + 128. For every two columns, the codes of a group's rows follow each other. int4: codes + 8. A word has
four columns of two rows, one row in each half. After 32 columns of a group's rows come their scales.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tinyllm.codegen.arithmetic.integer_model import COLUMNS_OF_A_SCALE, scale_groups
from tinyllm.codegen.kernels.kernel_set import (
    Codes,
    Groups,
    HotBytes,
    Int4Layout,
    Int8Layout,
    KernelSet,
    Scales,
    grouped,
    padded,
)

BIAS, INT4_BIAS = 128, 8
INT4_ROWS = 8
_PART = INT4_ROWS // 2 * COLUMNS_OF_A_SCALE
"""Bytes of a group's codes in 32 columns."""


def column_pairs(
    name: str, rows: int, input_bytes: Callable[[int], int], int4_part: int, hot_bytes: HotBytes
) -> KernelSet:
    """A kernel set with these layouts. The columns of int8 are padded to whole fours with bytes of zero.

    rows, input_bytes: of the int8 layout. int4_part: bytes of 32 columns of an input in the int4 layout. hot_bytes: as
    in KernelSet.
    """

    def group_bytes(columns: int) -> int:
        return -(-columns // 4) * 4 * rows

    def pack(codes: Codes) -> Groups:
        columns = group_bytes(codes.shape[1]) // rows
        groups = (grouped(codes, rows, columns).astype(np.int16) + BIAS).astype(np.uint8)
        groups[:, :, codes.shape[1] :] = 0
        pairs = groups.reshape(-1, rows, columns // 2, 2).transpose(0, 2, 1, 3)
        return np.ascontiguousarray(pairs).reshape(-1, rows * columns)

    def unpack(groups: Groups, count: int, columns: int) -> Codes:
        pairs = groups.reshape(len(groups), -1, rows, 2).transpose(0, 2, 1, 3)
        codes = (pairs.astype(np.int16) - BIAS).astype(np.int8)
        return codes.reshape(len(groups) * rows, -1)[:count, :columns]

    int8 = Int8Layout(rows, group_bytes, input_bytes, pack, unpack)
    int4 = Int4Layout(
        INT4_ROWS, _int4_group_bytes, lambda columns: scale_groups(columns) * int4_part, _pack_int4, _unpack_int4
    )
    return KernelSet(name, int8, int4, base="column_pairs", hot_bytes=hot_bytes)


def _int4_group_bytes(columns: int) -> int:
    return padded(scale_groups(columns) * (_PART + INT4_ROWS))


def _pack_int4(codes: Codes, scales: Scales) -> Groups:
    count = scale_groups(codes.shape[1])
    biased = (grouped(codes, INT4_ROWS, count * COLUMNS_OF_A_SCALE) + INT4_BIAS).view(np.uint8)
    pairs = biased.reshape(len(biased), INT4_ROWS, count, -1, 2)  # a byte has two columns of a row
    quads = (pairs[..., 0] | pairs[..., 1] << 4).reshape(len(biased), INT4_ROWS, count, -1, 2)
    filled = grouped(scales.view(np.int8), INT4_ROWS, count).view(np.uint8)
    parts = np.zeros((len(biased), count, _PART + INT4_ROWS), np.uint8)
    parts[:, :, :_PART] = quads.transpose(0, 2, 3, 1, 4).reshape(len(biased), count, _PART)
    parts[:, :, _PART:] = filled.transpose(0, 2, 1)
    packed = np.zeros((len(biased), _int4_group_bytes(codes.shape[1])), np.uint8)
    packed[:, : parts[0].size] = parts.reshape(len(biased), -1)
    return packed


def _unpack_int4(groups: Groups, rows: int, columns: int) -> tuple[Codes, Scales]:
    count = scale_groups(columns)
    parts = groups[:, : count * (_PART + INT4_ROWS)].reshape(len(groups), count, _PART + INT4_ROWS)
    quads = parts[:, :, :_PART].reshape(len(groups), count, -1, INT4_ROWS, 2).transpose(0, 3, 1, 2, 4)
    codes = np.stack([quads & 15, quads >> 4], axis=-1).view(np.int8) - np.int8(INT4_BIAS)
    scales = parts[:, :, _PART:].transpose(0, 2, 1).reshape(-1, count)
    return codes.reshape(len(groups) * INT4_ROWS, -1)[:rows, :columns], scales[:rows]
