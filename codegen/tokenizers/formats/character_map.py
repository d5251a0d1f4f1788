"""Checks SentencePiece's compiled normaliser, so that walking it needs no bounds checks.

Format: src/normalizer.cc of github.com/google/sentencepiece, and github.com/s-yata/darts-clone. A little-endian uint32
gives the size of a double array in bytes. The double array follows, of uint32 units, then the replacements, each ending
in a zero byte. A unit with bit 8 set has a value: the unit at (its own index xor its offset) holds, in its low 31 bits,
the offset of its replacement among the replacements.
"""

from __future__ import annotations

import numpy as np

BLOCK = 1024
"""Bytes of 256 units; a double array grows by as many."""
MAX_REPLACEMENT = 256
"""The most bytes of a replacement; the longest one of Unicode takes 33."""


def check_character_map(data: bytes) -> bytes:
    """The same bytes. Raises ValueError for a wrong size, a value that leads out of it or a replacement too long."""
    if not data:
        return b""
    size = int.from_bytes(data[:4], "little")
    if size == 0 or size % BLOCK or len(data) < 4 + size:
        raise ValueError(
            f"the trie of its character map has {size:,} bytes, expected a multiple of {BLOCK:,} within {len(data):,}"
        )
    units = np.frombuffer(data, "<u4", size // 4, 4).astype(np.int64)
    indices = np.arange(len(units))
    shifts = np.where(units & 0x200, 8, 0)
    targets = indices ^ ((units >> 10) << shifts)
    targets = targets[(units & 0x100 != 0) & (units < 1 << 31)]
    replacements = np.frombuffer(data, np.uint8, offset=4 + size)
    ends = np.flatnonzero(replacements == 0)
    if targets.size and (targets.max() >= len(units) or (units[targets] & 0x7FFFFFFF).max() >= len(replacements)):
        raise ValueError("its character map leads out of itself")
    if replacements.size and (replacements[-1] != 0 or np.diff(ends, prepend=-1).max() > MAX_REPLACEMENT + 1):
        raise ValueError(f"its character map has a replacement longer than {MAX_REPLACEMENT} bytes")
    return data
