"""The tables of Unicode normal form C for the board, from Python's `unicodedata`.

Unicode never changes the normal form of a character once assigned (its stability policy), so that of two versions the
later only knows more characters. Source of the rules: The Unicode Standard, section 3.11, and Unicode annex 15.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache

_HANGUL = range(0xAC00, 0xD7A4)


@dataclass(frozen=True)
class NfcTables:
    """class_runs: (first code point << 8) + combining class. apart: (code, offset, length) of what a character is
    taken apart into, as UTF-8 in `text`. together: (first, second, code). Hangul syllables are arithmetic.
    """

    class_runs: tuple[int, ...]
    apart: tuple[tuple[int, int, int], ...]
    text: bytes
    together: tuple[tuple[int, int, int], ...]

    @property
    def n_bytes(self) -> int:
        return 4 * len(self.class_runs) + 8 * len(self.apart) + len(self.text) + 12 * len(self.together)


@cache
def nfc_tables() -> NfcTables:
    """Those of this Python's Unicode."""
    runs: list[int] = []
    apart, text = [], bytearray()
    together = []
    last = -1
    for code in range(0x110000):
        if 0xD800 <= code < 0xE000:
            continue
        character = chr(code)
        kind = unicodedata.combining(character)
        if kind != last:
            runs.append(code << 8 | kind)
            last = kind
        whole = unicodedata.normalize("NFD", character)
        if whole == character or code in _HANGUL:
            continue
        parts = whole.encode()
        apart.append((code, len(text), len(parts)))
        text += parts
        first, *rest = (int(part, 16) for part in unicodedata.decomposition(character).split())
        if rest and unicodedata.normalize("NFC", chr(first) + chr(rest[0])) == character:
            together.append((first, rest[0], code))
    return NfcTables(tuple(runs), tuple(apart), bytes(text), tuple(sorted(together)))
