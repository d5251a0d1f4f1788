"""The sets of code points that regular expressions and the steps of tokenizers name."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from tinyllm.codegen.tokenizers.encode.unicode_data import (
    CATEGORIES,
    LAST_CODE,
    LATER_FORMAT,
    LATER_FORMS,
    LATER_NON_SPACING,
    LATER_PUNCTUATION,
    Runs,
)


@dataclass(frozen=True)
class CodeSet:
    """runs: first and last code point of each run, ascending, with a gap between any two runs."""

    runs: Runs = ()

    def __or__(self, other: CodeSet) -> CodeSet:
        return union([self, other])

    def __and__(self, other: CodeSet) -> CodeSet:
        return ~(~self | ~other)

    def __sub__(self, other: CodeSet) -> CodeSet:
        return ~(~self | other)

    def __invert__(self) -> CodeSet:
        runs, start = [], 0
        for first, last in self.runs:
            if first > start:
                runs.append((start, first - 1))
            start = last + 1
        return CodeSet((*runs, (start, LAST_CODE)) if start <= LAST_CODE else tuple(runs))

    def __contains__(self, code: int) -> bool:
        at = bisect_right(self._starts, code) - 1
        return at >= 0 and code <= self.runs[at][1]

    @cached_property
    def _starts(self) -> tuple[int, ...]:
        return tuple(first for first, _ in self.runs)


def union(sets: Iterable[CodeSet]) -> CodeSet:
    """The union of the sets."""
    runs: list[tuple[int, int]] = []
    for first, last in sorted(run for one in sets for run in one.runs):
        if runs and first <= runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], max(runs[-1][1], last))
        else:
            runs.append((first, last))
    return CodeSet(tuple(runs))


def code_range(first: int, last: int) -> CodeSet:
    return CodeSet(((first, last),))


def characters(text: str) -> CodeSet:
    """The characters of a text."""
    return union(code_range(ord(character), ord(character)) for character in text)


def category(name: str) -> CodeSet:
    """A general category; a name of one letter means all categories that begin with it.

    Raises KeyError for an unknown name.
    """
    found = [CodeSet(runs) for key, runs in CATEGORIES.items() if key == name or (len(name) == 1 and key[0] == name)]
    if not found:
        raise KeyError(name)
    return union(found)


ANYTHING = code_range(0, LAST_CODE)
NOTHING = CodeSet()
LINE_END = characters("\n")
WHITE_SPACE = category("Z") | code_range(0x09, 0x0D) | characters("\x85")
ASCII_PUNCTUATION = characters("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
MARKS = category("M")
LETTERS = category("L")
DECIMALS = category("Nd")
_CIRCLED = union(code_range(*run) for run in ((0x24B6, 0x24E9), (0x1F130, 0x1F149), (0x1F150, 0x1F169)))
_ALPHABETIC_SYMBOLS = _CIRCLED | code_range(0x1F170, 0x1F189)

# \w of two regular expression engines. Split and Replace use Oniguruma, whose \w differs inside and outside of brackets
# (outside it follows an older table for Latin-1). Whitespace uses Rust's engine.
BRACKET_WORD = LETTERS | MARKS | DECIMALS | category("Nl") | category("Pc") | _ALPHABETIC_SYMBOLS
ONIGURUMA_WORD = BRACKET_WORD | characters("\xb2\xb3\xb9\xbc\xbd\xbe")
RUST_WORD = BRACKET_WORD | characters("\u200c\u200d")

# The sets that the steps of tokenizers call by these names, each in the Unicode version of the library that it uses.
PUNCTUATION = (
    ASCII_PUNCTUATION | (category("P") - CodeSet(LATER_PUNCTUATION)) | characters("\u166d") | characters("\U000111c9")
)
NUMERIC = category("N") | code_range(0x11DE0, 0x11DE9) | code_range(0x16FF4, 0x16FF6)
ACCENTS = (MARKS - CodeSet(LATER_FORMS)) | characters("\u1cf2\u1cf3")
BERT_ACCENTS = (category("Mn") - CodeSet(LATER_NON_SPACING)) | characters("\u1734\U0001171e")
BERT_SPACES = WHITE_SPACE - characters("\x0b\x0c\x85")
BERT_CONTROLS = (
    category("Cc") | (category("Cf") - CodeSet(LATER_FORMAT)) | category("Co") | characters("\ufffd")
) - characters("\t\n\r")
CHINESE = union(
    code_range(*run)
    for run in (
        (0x3400, 0x4DBF),
        (0x4E00, 0x9FFF),
        (0xF900, 0xFAFF),
        (0x20000, 0x2A6DF),
        (0x2A700, 0x2B81F),
        (0x2B920, 0x2CEAF),
        (0x2F800, 0x2FA1F),
    )
)
NMT_DROPPED = union(code_range(*run) for run in ((0x01, 0x08), (0x0B, 0x0B), (0x0E, 0x1F), (0x7F, 0x7F))) | characters(
    "\x8f\x9f"
)
NMT_SPACES = characters("\t\n\f\r\u1680\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u2581\ufeff\ufffd")
