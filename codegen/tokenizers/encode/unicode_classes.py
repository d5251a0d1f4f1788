"""The classes of characters that published patterns tell apart, as in tokenizers and tiktoken."""

from __future__ import annotations

from bisect import bisect_right
from enum import IntEnum
from functools import lru_cache

from tinyllm.codegen.tokenizers.encode.unicode_data import CATEGORIES


class CharClass(IntEnum):
    """The class of a character for a pattern; the values are emitted into the C tables."""

    OTHER = 0
    """Everything else, including unassigned code points, surrogates and bytes that are no UTF-8."""
    SPACE = 1
    """\\s: White_Space."""
    NUMBER = 2
    """\\p{N}."""
    LETTER = 3
    """\\p{Lm} and \\p{Lo}: without case."""
    UPPER = 4
    """\\p{Lu} and \\p{Lt}."""
    LOWER = 5
    """\\p{Ll}."""
    MARK = 6
    """\\p{M}."""


@lru_cache(maxsize=4096)
def char_class(character: str) -> CharClass:
    """The class of one character."""
    return CLASSES[bisect_right(STARTS, ord(character)) - 1]


_CATEGORY_CLASSES = {
    **dict.fromkeys(("Nd", "Nl", "No"), CharClass.NUMBER),
    **dict.fromkeys(("Lm", "Lo"), CharClass.LETTER),
    **dict.fromkeys(("Lu", "Lt"), CharClass.UPPER),
    "Ll": CharClass.LOWER,
    **dict.fromkeys(("Mn", "Mc", "Me"), CharClass.MARK),
    **dict.fromkeys(("Zs", "Zl", "Zp"), CharClass.SPACE),
}
_CONTROL_SPACES = ((0x09, 0x0D), (0x85, 0x85))


def _read_runs() -> tuple[tuple[int, ...], tuple[CharClass, ...]]:
    runs = [
        (*run, _CATEGORY_CLASSES.get(name, CharClass.OTHER))
        for name, found in CATEGORIES.items()
        if name != "Cc"
        for run in found
    ]
    control = [(first, last, CharClass.OTHER) for first, last in ((0, 8), (0x0E, 0x1F), (0x7F, 0x84), (0x86, 0x9F))]
    spaces = [(first, last, CharClass.SPACE) for first, last in _CONTROL_SPACES]
    starts, classes = list[int](), list[CharClass]()
    for first, _, kind in sorted(runs + control + spaces):
        if not classes or kind != classes[-1]:
            starts.append(first)
            classes.append(kind)
    return tuple(starts), tuple(classes)


STARTS, CLASSES = _read_runs()
"""The first code point of each run, ascending from 0, and the class of each run."""

WHITE_SPACE = tuple(
    chr(code).encode()
    for start, end, kind in zip(STARTS, STARTS[1:], CLASSES, strict=False)
    if kind is CharClass.SPACE
    for code in range(start, end)
)
"""The characters of class SPACE, in UTF-8."""
