"""The layout for Armv8-M with DSP: four rows a group, two columns of a row in 16 bits.

For every four columns c0..c3 a row has a word with the halves 256 * c1 + c0 and 256 * c3 + c2. The words of eight
columns lie together, two for each of the four rows. An input has two words for every four codes
(firmware/engine/kernels/armv8m/dot.h).
"""

from __future__ import annotations

import numpy as np

from tinyllm.codegen.kernels.int4_words import INT4_WORDS
from tinyllm.codegen.kernels.kernel_set import Codes, Groups, HotBytes, Int8Layout, KernelSet, grouped, padded

ROWS = 4
UNIT = 8
"""Columns whose words lie together."""
PAIRS = UNIT // 2


def _group_bytes(columns: int) -> int:
    return ROWS * _whole_units(columns)


def _input_bytes(columns: int) -> int:
    return padded(2 * columns)


def _pack(codes: Codes) -> Groups:
    groups = grouped(codes, ROWS, _whole_units(codes.shape[1]))
    units = groups.reshape(len(groups), ROWS, -1, UNIT).transpose(0, 2, 1, 3).astype("<i2")
    halves = 256 * units[..., 1::2] + units[..., ::2]
    return np.ascontiguousarray(halves).view(np.uint8).reshape(len(groups), -1)


def _unpack(groups: Groups, rows: int, columns: int) -> Codes:
    halves = np.ascontiguousarray(groups).view("<i2").reshape(len(groups), -1, ROWS, PAIRS)
    even = halves.astype(np.int8)
    codes = np.stack([even, (halves - even) >> 8], axis=-1).astype(np.int8).reshape(len(groups), -1, ROWS, UNIT)
    return codes.transpose(0, 2, 1, 3).reshape(ROWS * len(groups), -1)[:rows, :columns]


def _whole_units(columns: int) -> int:
    return -(-columns // UNIT) * UNIT


ARMV8M = KernelSet(
    "armv8m",
    Int8Layout(ROWS, _group_bytes, _input_bytes, _pack, _unpack),
    INT4_WORDS,
    tokens=5,
    hot_bytes=HotBytes(int8=15_872, int4=3_584, int4_cache=1_280),
)
