"""The board's tables of Unicode's normal forms, from Python's `unicodedata`.

By Unicode's stability policy the normal form of an assigned character never changes. So a later version of Unicode only
knows more characters, and those that tokenizers does not know are left out. Source of the rules: The Unicode Standard,
section 3.11, and Unicode annex 15.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

from tinyllm.codegen.tokenizers.encode.unicode_data import LATER_FORMS

_HANGUL = range(0xAC00, 0xD7A4)
_SURROGATES = range(0xD800, 0xE000)
_LONGEST_RUN = 255
END_OF_FORMS = 0x30000
"""In the Unicode versions that tokenizers knows, no character from here on is a mark or has a decomposition."""


@dataclass(frozen=True)
class Decompositions:
    """The decompositions of characters, as UTF-8 in `text`. Hangul syllables are left to arithmetic.

    runs: (first, offset, count, length). Each of `count` characters from `first` on decomposes into `length` bytes of
    `text`; those of `first` are at `offset`, and those of the others follow in order.
    """

    runs: tuple[tuple[int, int, int, int], ...]
    text: bytes

    @property
    def n_bytes(self) -> int:
        return 8 * len(self.runs) + len(self.text)

    @property
    def characters(self) -> list[str]:
        return [chr(first + n) for first, _, count, _ in self.runs for n in range(count)]


@dataclass(frozen=True)
class Compositions:
    """Which two characters compose to one. pairs: (first, second, code), the low 16 bits of each.

    The first `n_first_plane` pairs are of plane 0.
    """

    pairs: tuple[tuple[int, int, int], ...]
    n_first_plane: int

    @property
    def n_bytes(self) -> int:
        return 6 * len(self.pairs)


@cache
def combining_classes() -> tuple[int, ...]:
    """The runs of code points with the same combining class: (first code point << 8) + class."""
    runs: list[int] = []
    last = -1
    for code, kind in _changes():
        if kind != last:
            runs.append(code << 8 | kind)
            last = kind
    return tuple(runs)


@cache
def decompositions(compatibility: bool) -> Decompositions:
    """The canonical decompositions; if `compatibility`, the compatibility ones too."""
    form: Literal["NFKD", "NFD"] = "NFKD" if compatibility else "NFD"
    found: list[list[tuple[int, bytes]]] = []
    for code in _known():
        whole = unicodedata.normalize(form, chr(code))
        if whole == chr(code) or code in _HANGUL:
            continue
        parts, run = whole.encode(), found[-1] if found else []
        follows = run and run[-1][0] == code - 1 and len(run[-1][1]) == len(parts) and len(run) < _LONGEST_RUN
        if follows:
            run.append((code, parts))
        else:
            found.append([(code, parts)])
    # Longest runs first, so that the texts of shorter ones are found within them.
    text, offsets = bytearray(), {}
    for run in sorted(found, key=lambda run: -sum(len(parts) for _, parts in run)):
        joined = b"".join(parts for _, parts in run)
        offset = text.find(joined)
        if offset < 0:
            offset = len(text)
            text += joined
        offsets[run[0][0]] = offset
    runs = tuple((run[0][0], offsets[run[0][0]], len(run), len(run[0][1])) for run in found)
    return Decompositions(runs, bytes(text))


@cache
def compositions() -> Compositions:
    """The pairs that compose to a primary composite."""
    pairs = []
    for code in _known():
        first, *rest = unicodedata.decomposition(chr(code)).split() or [""]
        if len(rest) == 1 and not first.startswith("<"):
            parts = int(first, 16), int(rest[0], 16)
            if unicodedata.normalize("NFC", "".join(map(chr, parts))) == chr(code):
                pairs.append((*parts, code))
    pairs.sort()
    if any(len({code >> 16 for code in pair}) > 1 or pair[0] >> 16 > 1 for pair in pairs):
        raise AssertionError("a composition across planes, or beyond plane 1")
    low = tuple((first & 0xFFFF, second & 0xFFFF, code & 0xFFFF) for first, second, code in pairs)
    return Compositions(low, sum(first < 1 << 16 for first, _, _ in pairs))


def _known() -> Iterator[int]:
    """The code points whose normal forms tokenizers knows."""
    start = 0
    for first, last in (*LATER_FORMS, (END_OF_FORMS, END_OF_FORMS)):
        yield from (code for code in range(start, min(first, END_OF_FORMS)) if code not in _SURROGATES)
        start = last + 1


def _changes() -> Iterator[tuple[int, int]]:
    """Code points in order, each with its combining class. A gap of unknown ones appears once, with class 0."""
    last = -1
    for code in _known():
        if code > last + 1:
            yield last + 1, 0
        yield code, unicodedata.combining(chr(code))
        last = code
