"""The classes of Unicode 16.0's characters that patterns tell apart, as tokenizers and tiktoken have them.

Source: the general categories and White_Space of the Unicode Character Database 16.0, by way of the two libraries'
regular expressions, which agree. A fixed version, so that the same tokenizer gives the same ids and the same C under
every Python: `unicodedata` changes from one to the next.
"""

from __future__ import annotations

from bisect import bisect_right
from enum import IntEnum
from functools import lru_cache


class CharClass(IntEnum):
    """What a character is to a pattern; the values are emitted into the C tables."""

    OTHER = 0
    """Everything else, unassigned code points, surrogates and bytes that are no UTF-8 included."""
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


_LETTERS = {
    "-": CharClass.OTHER,
    "S": CharClass.SPACE,
    "N": CharClass.NUMBER,
    "C": CharClass.LETTER,
    "U": CharClass.UPPER,
    "L": CharClass.LOWER,
    "M": CharClass.MARK,
}

# Runs from U+0000 on: a letter of the table above, then how many in hexadecimal where more than one.
_RUNS = (
    "-9 S5 -12 S -f Na -7 U1a -6 L1a -a S -1a S -9 C -7 N2 - L -3 N C - N3 - U17 - U7 L18 - L8 U L U L U L U L U "
    "L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L2 U L U L U L "
    "U L U L U L U L U L2 U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U "
    "L U L U2 L U L U L3 U2 L U L U2 L U3 L2 U4 L U2 L U3 L3 U2 L U2 L U L U L U2 L U L2 U L U2 L U3 L U L U2 L2 "
    "C U L3 C4 U2 L U2 L U2 L U L U L U L U L U L U L U L U L2 U L U L U L U L U L U L U L U L U L2 U2 L U L U3 "
    "L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U "
    "L U L U L7 U2 L U2 L2 U L U4 L U L U L U L U L45 C L1b C12 -4 Cc -e C5 -7 C - C -11 M70 U L U L C - U L -2 "
    "C L3 - U -6 U - U3 - U - U2 L U11 - U9 L23 U L2 U3 L3 U L U L U L U L U L U L U L U L U L U L U L U L5 U L "
    "- U L U2 L2 U33 L30 U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L - M7 U L U L U L U "
    "L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U2 L U L U L "
    "U L U L U L U L2 U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U "
    "L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L - U26 "
    "-2 C -6 L29 -8 M2d - M - M2 - M2 - M -8 C1b -4 C4 -1d Mb -5 C2b M15 Na -4 C2 M C63 - C M7 -2 M6 C2 M2 - M4 "
    "C2 Na C3 -2 C -10 C M C1e M1b -2 C59 Mb C -e Na C21 M9 C2 -4 C -2 M -2 C16 M4 C M9 C M3 C M5 -12 C19 M3 -4 "
    "Cb -5 C18 - C6 -8 M9 C2a M18 - M21 C36 M3 C M12 C M7 Ca M2 -2 Na - C10 M3 - C8 -2 C2 -2 C16 - C7 - C -3 C4 "
    "-2 M C M7 -2 M2 -2 M3 C -8 M -4 C2 - C3 M2 -2 Na C2 -2 N6 -2 C - M -2 M3 - C6 -4 C2 -2 C16 - C7 - C2 - C2 - "
    "C2 -2 M - M5 -4 M2 -2 M3 -3 M -7 C4 - C -7 Na M2 C3 M -b M3 - C9 - C3 - C16 - C7 - C2 - C5 -2 M C M8 - M3 - "
    "M3 -2 C -f C2 M2 -2 Na -9 C M6 - M3 - C8 -2 C2 -2 C16 - C7 - C2 - C5 -2 M C M7 -2 M2 -2 M3 -7 M3 -4 C2 - C3 "
    "M2 -2 Na - C N6 -a M C - C6 -3 C3 - C4 -3 C2 - C - C2 -3 C2 -3 C3 -3 Cc -4 M5 -3 M3 - M4 -2 C -6 M -e Nd -d "
    "M5 C8 - C3 - C17 - C10 -2 M C M7 - M3 - M4 -7 M2 - C3 -2 C -2 C2 M2 -2 Na -8 N7 - C M3 - C8 - C3 - C17 - Ca "
    "- C5 -2 M C M7 - M3 - M4 -7 M2 -6 C2 - C2 M2 -2 Na - C2 M -c M4 C9 - C3 - C29 M2 C M7 - M3 - M4 C -5 C3 M "
    "N7 C3 M2 -2 N13 - C6 - M3 - C12 -3 C18 - C9 - C -2 C7 -3 M -4 M6 - M - M8 -6 Na -2 M2 -d C30 M C2 M7 -5 C7 "
    "M8 - Na -27 C2 - C - C5 - C18 - C - Ca M C2 M9 C -2 C5 - C - M7 - Na -2 C4 -20 C -17 M2 -6 N14 - M - M - M "
    "-4 M2 C8 - C24 -4 M14 - M2 C5 Mb - M24 -9 M -39 C2b M14 C Na -6 C6 M4 C4 M3 C M3 C2 M7 C3 M4 Cd Mc C M Na "
    "M4 -2 U26 - U -5 U -2 L2b - C L3 C149 - C4 -2 C7 - C - C4 -2 C29 - C4 -2 C21 - C4 -2 C7 - C - C4 -2 Cf - "
    "C39 - C4 -2 C43 -2 M3 -9 N14 -3 C10 -10 U56 -2 L6 -3 C26c -2 C11 S C1a -5 C4b -3 N3 C8 -7 C12 M4 -9 C13 M3 "
    "-b C12 M2 -c Cd - C3 - M2 -c C34 M20 -3 C -4 C M -2 Na -6 Na -11 M3 - M Na -6 C59 -7 C5 M2 C22 M C -5 C46 "
    "-a C1f - Mc -4 Mc -a Na C1e -2 C5 -b C2c -4 C1a -6 Nb -25 C17 M5 -4 C35 Ma - M1d -2 M Na -6 Na -d C -8 M1f "
    "-31 M5 C2f M11 C8 -3 Na -11 M9 -c M3 C1e Md C2 Na C2c Me -c C24 M14 -8 Na -3 C3 Na C24 -2 L9 U L -5 U2b -2 "
    "U3 -10 M3 - M15 C4 M C6 M C2 M3 C -5 L2c C3f Ld C L22 C25 M40 U L U L U L U L U L U L U L U L U L U L U L U "
    "L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U "
    "L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U "
    "L U L U L U L U L U L U L U L U L U L9 U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L "
    "U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L "
    "U L U L U L U L U L9 U8 L6 -2 U6 -2 L8 U8 L8 U8 L6 -2 U6 -2 L8 - U - U - U - U L8 U8 Le -2 L8 U8 L8 U8 L8 "
    "U8 L5 - L2 U5 - L -3 L3 - L2 U5 -3 L4 -2 L2 U4 -4 L8 U5 -5 L3 - L2 U5 -3 Sb -1d S2 -5 S -2f S -10 N C -2 N6 "
    "-5 C Na -6 Cd -33 M21 -11 U -4 U -2 L U3 L2 U3 L - U -3 U5 -6 U - U - U - U4 - L U4 L C4 L -2 L2 U2 -5 U L4 "
    "-4 L - N33 U L N5 -2d6 N3c -4e N16 -276 N1e -46c U30 L30 U L U3 L2 U L U L U L U4 L U L2 U L6 C2 U3 L U L U "
    "L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U "
    "L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L2 -6 U L U L M3 U L -9 N "
    "-2 L26 - L -5 L -2 C38 -7 C -f M C17 -9 C7 - C7 - C7 - C7 - C7 - C7 - C7 - C7 - M20 -2f C -1d0 S -4 C2 N "
    "-19 N9 M6 - C5 -2 N3 C2 -4 C56 -2 M2 -2 C3 - C5a - C4 -5 C2b - C5e -3 N4 -a C20 -30 C10 -20 Na -1e N8 - Nf "
    "-20 Na -27 Nf -140 C19c0 -40 C568d -43 C2e -2 C10d -3 C10 Na C2 -14 U L U L U L U L U L U L U L U L U L U L "
    "U L U L U L U L U L U L U L U L U L U L U L U L U L C M4 - Ma - C U L U L U L U L U L U L U L U L U L U L U "
    "L U L U L U L C2 M2 C46 Na M2 -25 C9 -2 U L U L U L U L U L U L U L3 U L U L U L U L U L U L U L U L U L U "
    "L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L U L C L8 U L U L U2 L U L "
    "U L U L U L C -2 U L U L C U L U L3 U L U L U L U L U L U L U L U L U L U L U5 L U5 L U L U L U L U L U L U "
    "L U L U4 L U L U2 L -2 U L - L - L U L U L U L U -15 C3 U L C3 L C7 M C3 M C4 M C17 M5 -4 M -3 N6 -a C34 -c "
    "M2 C32 M12 -a Na -6 M12 C6 -3 C - C2 M Na C1c M8 -2 C17 Md -c C1d -3 M4 C2f Me -e C Na -6 C5 M Ca Na C5 - "
    "C29 Me -9 C3 M C8 M2 -2 Na -6 C17 -3 C M3 C32 M C M3 C2 M2 C5 M2 C M C -18 C3 -2 Cb M5 -2 C3 M2 -a C6 -2 C6 "
    "-2 C6 -9 C7 - C7 - L2b - C4 L9 C -6 L50 C23 M8 - M2 -2 Na -6 C2ba4 -c C17 -4 C31 -2104 C16e -2 C6a -26 L7 "
    "-c L5 -5 C M Ca - Cd - C5 - C - C2 - C2 - C6c -21 C16b -12 C40 -2 C36 -28 Cc -4 M10 -10 M10 -40 C5 - C87 "
    "-13 Na -7 U1a -6 L1a -b C59 -3 C6 -2 C6 -2 C6 -2 C3 -23 Cc - C1a - C13 - C2 - Cf -2 Ce -22 C7b -c N2d -c "
    "N39 -11 N2 -71 M -82 C1d -3 C31 -f M N1b -4 C20 N4 -9 C14 N C8 N -5 C26 M5 -5 C1e -2 C24 -4 C8 - N5 -2a U28 "
    "L28 C4e -2 Na -6 U24 -4 L24 -4 C28 -8 C34 -c Ub - Uf - U7 - U2 - Lb - Lf - L7 - L2 -3 C34 -c C137 -9 C16 -a "
    "C8 -18 C6 - C2a - C9 -45 C6 -2 C - C2c - C2 -3 C -2 C17 -2 N8 C17 -2 N7 C1f -8 N9 -30 C13 - C2 -5 N5 C16 N6 "
    "-4 C1a -46 C38 -4 N2 C2 N10 -2 N2e C M3 - M2 -5 M4 C4 - C3 - C1d -2 M3 -4 M N9 -17 C1d N2 - C1d N3 -20 C8 - "
    "C1c M2 -4 N5 -10 C36 -a C16 -2 N8 C13 -5 N8 C12 -17 N7 -50 C49 -37 U33 -d L33 -7 N6 C24 M4 -8 Na -6 Na C6 "
    "U16 -3 M5 - C L16 -da N1f - C2a - M2 -3 C2 -10 C3 -37 M4 C1d Na C -8 C16 Mb N4 -1b C12 M4 -2a C15 N7 -14 "
    "C17 -9 M3 C35 Mf -b N1e M C2 M2 C -9 M4 C2d Mb -7 M -d C19 -7 Na -6 M3 C24 Me - Na -4 C M2 C -8 C23 M -2 C "
    "-9 M3 C30 Me C4 -4 M4 - M2 Na C - C -4 N14 -b C12 - C19 Mc -6 M C2 M -3e C7 - C - C4 - Cf - Ca -7 C2f Mc -5 "
    "Na -6 M4 - C8 -2 C2 -2 C16 - C7 - C2 - C5 - M2 C M7 -2 M2 -2 M3 -2 C -6 M -5 C5 M2 -2 M7 -3 M5 -b Ca - C -2 "
    "C - C26 - C M9 - M -2 M - M4 - M5 C M C -d M2 -1d C35 M12 C4 -5 Na -4 M C3 -1e C30 M14 C2 - C -8 Na -a6 C2f "
    "M7 -2 M9 -17 C4 M2 -22 C30 M11 -3 C -b Na -26 C2b Md C -7 Na -6 N14 -1c C1b -2 Mf -4 Nc -4 C7 -b9 C2c Mf "
    "-65 U20 L20 N13 -c C8 -2 C -2 C8 - C2 - C18 M6 - M2 -2 M4 C M C M2 -c Na -46 C8 -2 C27 M7 -2 M7 C - C M -1b "
    "C Ma C28 M7 C M4 -8 M -8 C Mb C2e M10 -3 C -12 C49 -c7 C21 -f Na -6 C9 - C25 M8 - M8 C -f N1d -5 C1e -2 M16 "
    "- Me -49 C7 - C2 - C26 M6 -3 M - M2 - M7 C M -8 Na -6 C6 - C2 - C20 M5 - M2 - M5 C -7 Na -136 C13 M4 -9 M2 "
    "C M Cd - C22 M7 -3 M5 -d Na M -55 C -f N15 -2b C39a -66 N6f -11 Cc4 -a4c C61 -f C430 -10 M C6 Mf -a Cf9b -5 "
    "C247 -1ab9 C1e M12 Na -6c6 C239 -7 C1f - Na -6 C4f - Na -6 C1e -2 M5 -b C30 M7 -9 C4 -c Na - N7 - C15 -5 "
    "C13 -1b0 C2d -3 Na -c6 U20 L20 N17 -69 C4b -4 M C M37 -7 M4 Cd -40 C2 - C M -b M2 -e C17f8 -8 C4d6 -29 Ca "
    "-22e7 C4 - C7 - C2 - C123 -f C -1d C3 -2 C -e C4 -8 C18c -904 C6b -5 Cd -3 C9 -7 Ca -3 M2 -1051 Na -206 M2e "
    "-2 M17 -21e M5 -3 M6 -8 M8 -2 M7 -1e M4 -94 M3 -7b N14 -c N14 -6c N19 -87 U1a L1a U1a L7 - L12 U1a L1a U - "
    "U2 -2 U -2 U2 -2 U4 - U8 L4 - L - L7 - Lb U1a L1a U2 - U4 -2 U8 - U7 - L1a U2 - U4 - U5 - U -3 U7 - L1a U1a "
    "L1a U1a L1a U1a L1a U1a L1a U1a L1a U1a L1c -2 U19 - L19 - L6 U19 - L19 - L6 U19 - L19 - L6 U19 - L19 - L6 "
    "U19 - L19 - L6 U L -2 N32 -200 M37 -4 M32 -8 M -e M -16 M5 - Mf -450 La C L14 -6 L6 -d5 M7 - M11 -2 M7 - M2 "
    "- M5 -5 C3e -21 M -70 C2d -3 M7 C7 -2 Na -4 C -141 C1e M -11 C2c M4 Na -1d6 C1c M4 Na -d6 C1e M2 C Na -1e5 "
    "C7 - C4 - C2 - Cf - Cc5 -2 N9 M7 -29 U22 L22 M7 C -4 Na -317 N3b - N3 - N4 -4c N2d - Nf -c2 C4 - C1b - C2 - "
    "C -2 C - Ca - C4 - C - C -6 C -4 C - C - C - C3 - C2 - C -2 C - C - C - C - C - C2 - C -2 C4 - C7 - C4 - C4 "
    "- C - Ca - C11 -5 C3 - C5 - C11 -244 Nd -ae3 Na -406 Ca6e0 -20 C103a -6 Cde -2 C1682 -e C1d31 -f C26e -9a2 "
    "C21e -5e2 C134b -5 C1060 -add50 Mf0 -2fe10"
)


def _read_runs() -> tuple[tuple[int, ...], tuple[CharClass, ...]]:
    starts, classes, start = [], [], 0
    for run in _RUNS.split():
        starts.append(start)
        classes.append(_LETTERS[run[0]])
        start += int(run[1:] or "1", 16)
    return tuple(starts), tuple(classes)


STARTS, CLASSES = _read_runs()
"""The first code point of each run, ascending from 0, and its class."""

WHITE_SPACE = tuple(
    chr(code).encode()
    for start, end, kind in zip(STARTS, STARTS[1:], CLASSES, strict=False)
    if kind is CharClass.SPACE
    for code in range(start, end)
)
"""The characters of class SPACE, in UTF-8."""
