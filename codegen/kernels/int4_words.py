"""The layout of int4 matrices for Armv8-M with DSP: sixteen rows a group, eight columns of a row in a word.

Four rows lie together, then the next four. For every eight columns they have one word per row, and after 32 columns
their four scales. The columns of the last scale come first; if they are at most 16, they take the room of 16. The lower
half of a word has the codes of columns 0, 1, 4 and 5, the upper half those of 2, 3, 6 and 7, from the lowest bits on.
The fourth code of a half is in two's complement, the others are stored plus 8. An input has four words for every eight
columns, and one for the columns of each scale (firmware/engine/kernels/armv8m/dot_int4.h).
"""

from __future__ import annotations

import numpy as np

from tinyllm.codegen.arithmetic.integer_model import COLUMNS_OF_A_SCALE, scale_groups
from tinyllm.codegen.kernels.kernel_set import Codes, Groups, Int4Layout, Scales, grouped, padded

ROWS = 16
ROWS_TOGETHER = 4
WORD_COLUMNS = 8
COLUMNS_FROM_LOWEST_BITS = [0, 1, 4, 5, 2, 3, 6, 7]
PLUS_8 = np.uint32(0x08880888)
"""XOR with this adds 8 to the codes of a word that are stored plus 8: it flips their sign bits."""
SHIFTS = np.arange(0, 32, 4, dtype=np.uint32)

HALF_BYTES = ROWS_TOGETHER * COLUMNS_OF_A_SCALE // 4
"""Bytes of the words of four rows and 16 columns."""
SCALE_BYTES = 2 * HALF_BYTES + ROWS_TOGETHER
"""Bytes of four rows and 32 columns, with the scales."""


def _is_cut(columns: int) -> bool:
    """Whether the last scale has no more than 16 columns."""
    return 0 < columns % COLUMNS_OF_A_SCALE <= COLUMNS_OF_A_SCALE // 2


def _four_bytes(columns: int) -> int:
    """Bytes of four rows. An input happens to have as many."""
    return scale_groups(columns) * SCALE_BYTES - _is_cut(columns) * HALF_BYTES


def _input_bytes(columns: int) -> int:
    return padded(_four_bytes(columns))


def _group_bytes(columns: int) -> int:
    return ROWS // ROWS_TOGETHER * _four_bytes(columns)


def _pack(codes: Codes, scales: Scales) -> Groups:
    columns, count = codes.shape[1], scale_groups(codes.shape[1])
    filled = grouped(codes, ROWS, count * COLUMNS_OF_A_SCALE).reshape(-1, ROWS_TOGETHER, count, 4, WORD_COLUMNS)
    bits = (filled[..., COLUMNS_FROM_LOWEST_BITS].astype(np.uint32) & 15) << SHIFTS
    words = (np.bitwise_or.reduce(bits, axis=-1) ^ PLUS_8).transpose(0, 2, 3, 1)  # (fours, scales, 4, rows)
    words_bytes = np.ascontiguousarray(words, "<u4").view(np.uint8).reshape(len(words), count, 2 * HALF_BYTES)
    of_scales = grouped(scales.view(np.int8), ROWS, count).view(np.uint8).reshape(-1, ROWS_TOGETHER, count)
    parts = np.concatenate([words_bytes, of_scales.transpose(0, 2, 1)], axis=2)
    first = np.delete(parts[:, -1], np.s_[HALF_BYTES : HALF_BYTES * (1 + _is_cut(columns))], axis=1)
    fours = np.concatenate([first, parts[:, :-1].reshape(len(parts), -1)], axis=1)
    return fours.reshape(-1, _group_bytes(columns))


def _unpack(groups: Groups, rows: int, columns: int) -> tuple[Codes, Scales]:
    count = scale_groups(columns)
    fours = groups.reshape(-1, _four_bytes(columns))
    if _is_cut(columns):
        fours = np.insert(fours, [HALF_BYTES] * HALF_BYTES, 0, axis=1)
    parts = np.roll(fours.reshape(-1, count, SCALE_BYTES), -1, axis=1)
    words = np.ascontiguousarray(parts[..., :-ROWS_TOGETHER]).view("<u4").reshape(-1, count, 4, ROWS_TOGETHER, 1)
    bits = ((words ^ PLUS_8) >> SHIFTS & 15).astype(np.int8)[..., np.argsort(COLUMNS_FROM_LOWEST_BITS)]
    codes = ((bits ^ 8) - 8).transpose(0, 3, 1, 2, 4).reshape(ROWS * len(groups), -1)
    scales = parts[..., -ROWS_TOGETHER:].transpose(0, 2, 1).reshape(-1, count)
    return codes[:rows, :columns], scales[:rows]


INT4_WORDS = Int4Layout(ROWS, _group_bytes, _input_bytes, _pack, _unpack)
