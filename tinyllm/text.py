"""Text from files, boards and people, made fit to be shown or written."""

from __future__ import annotations

import reprlib
import unicodedata

LONGEST_SHOWN = 80
"""Characters of a value that a message quotes."""
MOST_BITS = 4096
"""Of an integer that is shown in decimal."""
LONGEST_NAME = 48
"""UTF-8 bytes of a harmless name: a build adds its own ending, and a board's greeting holds it whole."""
UNNAMED = "model"
NAME_MARKS = " ._+-()[]@,=~#&!'"
"""Beside letters and digits: none of these ends a string or comment, or begins anything, in C, JSON or an INI file."""


class _Shown(reprlib.Repr):
    def repr_int(self, x: int, level: int) -> str:
        # Python writes no decimal number of more than some thousand digits.
        text = repr(x) if x.bit_length() < MOST_BITS else hex(x)
        return text if len(text) <= self.maxlong else f"{text[: self.maxlong // 2]}...{text[-self.maxlong // 2 :]}"


_shown = _Shown()


def shown(value: object) -> str:
    """A value of a hostile file as a message quotes it: on one line, and short, however deep or large it is."""
    text = _shown.repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 4]} ..."


def printable(text: str) -> str:
    """Text made safe for a terminal: no control characters but newline and tab.

    A byte of a file's name that is not UTF-8 (Python keeps it as a lone surrogate) shows as U+FFFD.
    """
    return "".join(
        character if character in "\n\t" or character.isprintable() else "\ufffd" if _is_surrogate(character) else ""
        for character in text
    )


def one_line(text: str, limit: int = LONGEST_SHOWN) -> str:
    """The first `limit` characters of a text as they may stand within a line: every run of white space is a space."""
    line = " ".join(text[: 4 * limit].split())
    return printable(line)[:limit].rstrip()


def harmless_name(text: str) -> str:
    """A name that can stand wherever a model's name is written, from one that may hold anything.

    Letters and digits of every script stay, as do spaces and NAME_MARKS. Each other character (a quote, a backslash, a
    line break, a byte that is not UTF-8) becomes an underscore. The result has 1 to LONGEST_NAME bytes of UTF-8 and is
    its own harmless name.
    """
    name = "".join(_in_name(character) for character in unicodedata.normalize("NFC", text))
    cut = name.encode()[:LONGEST_NAME].decode(errors="ignore").strip()
    return cut or UNNAMED


def _in_name(character: str) -> str:
    stays = character.isalnum() or unicodedata.category(character).startswith("M") or character in NAME_MARKS
    return character if stays else "_"


def holds_surrogates(text: str) -> bool:
    """Whether a text cannot be written as UTF-8: it holds a byte of a file's name that is not."""
    return any(map(_is_surrogate, text))


def in_bytes(size: int | None) -> str:
    """A size for people, in the decimal units that the Hugging Face Hub shows; "-" for None."""
    if size is None:
        return "-"
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if size >= scale:
            return f"{size / scale:,.1f} {unit}"
    return f"{size} bytes"


def _is_surrogate(character: str) -> bool:
    return "\ud800" <= character <= "\udfff"
