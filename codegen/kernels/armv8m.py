"""The layout for Armv8-M with DSP: four rows a group, two columns of a row in 16 bits.

Of every four columns c0..c3 a row has a word with the halves 256 * c1 + c0 and 256 * c3 + c2; the words of the four
rows follow each other. An input has two words for four codes (firmware/engine/kernels/armv8m/dot_groups.c).
"""

from __future__ import annotations

import numpy as np

from tinyllm.codegen.kernels.kernel_set import Codes, Groups, KernelSet, grouped, padded

ROWS = 4
STEP = 4
"""Columns in a word."""


def _group_bytes(columns: int) -> int:
    return ROWS * _whole_steps(columns)


def _input_bytes(columns: int) -> int:
    return padded(2 * columns)


def _pack(codes: Codes) -> Groups:
    groups = grouped(codes, ROWS, _whole_steps(codes.shape[1]))
    words = groups.reshape(len(groups), ROWS, -1, STEP).transpose(0, 2, 1, 3).astype("<i2")
    halves = 256 * words[..., 1::2] + words[..., ::2]
    return np.ascontiguousarray(halves).view(np.uint8).reshape(len(groups), -1)


def _unpack(groups: Groups, rows: int, columns: int) -> Codes:
    halves = np.ascontiguousarray(groups).view("<i2").reshape(len(groups), -1, ROWS, STEP // 2)
    even = halves.astype(np.int8)
    codes = np.stack([even, (halves - even) >> 8], axis=-1).astype(np.int8).reshape(len(groups), -1, ROWS, STEP)
    return codes.transpose(0, 2, 1, 3).reshape(ROWS * len(groups), -1)[:rows, :columns]


def _whole_steps(columns: int) -> int:
    return -(-columns // STEP) * STEP


ARMV8M = KernelSet("armv8m", ROWS, _group_bytes, _input_bytes, _pack, _unpack)
