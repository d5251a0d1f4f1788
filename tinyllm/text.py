"""Makes text from files, boards and people safe to show or to write."""

from __future__ import annotations

import reprlib
import unicodedata

LONGEST_SHOWN = 80
"""The most characters of a value that a message quotes."""
MOST_BITS = 4096
"""An integer with at least so many bits is shown in hexadecimal."""
LONGEST_NAME = 48
"""The most UTF-8 bytes of a harmless name. A build can still append to it, and a board's greeting holds it whole."""
UNNAMED = "model"
NAME_MARKS = " ._+-()[]@,=~#&!'"
"""Marks that a harmless name may have. In C, JSON and INI files none of them ends a string or comment, or begins
anything."""


class _Shown(reprlib.Repr):
    def repr_int(self, x: int, level: int) -> str:
        # Python refuses to write a decimal number with more than some thousand digits.
        text = repr(x) if x.bit_length() < MOST_BITS else hex(x)
        return text if len(text) <= self.maxlong else f"{text[: self.maxlong // 2]}...{text[-self.maxlong // 2 :]}"


_shown = _Shown()


def shown(value: object) -> str:
    """A value of a hostile file, as a message quotes it: one short line, however deep or large the value is."""
    text = _shown.repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 4]} ..."


def printable(text: str) -> str:
    """Text made safe for a terminal: without control characters, except newline and tab.

    A byte of a file's name that is not UTF-8 becomes U+FFFD (Python keeps such a byte as a lone surrogate).
    """
    return "".join(
        character if character in "\n\t" or character.isprintable() else "\ufffd" if _is_surrogate(character) else ""
        for character in text
    )


def one_line(text: str, limit: int = LONGEST_SHOWN) -> str:
    """The first `limit` characters of a text as one printable line: every run of white space becomes one space."""
    line = " ".join(text[: 4 * limit].split())
    return printable(line)[:limit].rstrip()


def harmless_name(text: str) -> str:
    """A model's name, made safe for every place in which it is written.

    Letters and digits of every script stay, as do spaces and NAME_MARKS. Each other character (a quote, a backslash, a
    line break, a byte that is not UTF-8) becomes an underscore. The result has 1 to LONGEST_NAME bytes of UTF-8. The
    function does not change its own result.
    """
    name = "".join(_in_name(character) for character in unicodedata.normalize("NFC", text))
    cut = name.encode()[:LONGEST_NAME].decode(errors="ignore").strip()
    return cut or UNNAMED


def _in_name(character: str) -> str:
    stays = character.isalnum() or unicodedata.category(character).startswith("M") or character in NAME_MARKS
    return character if stays else "_"


def holds_surrogates(text: str) -> bool:
    """Whether a text cannot be written as UTF-8, because a byte of a file's name in it was not UTF-8."""
    return any(map(_is_surrogate, text))


def in_bytes(size: int | None) -> str:
    """A size for people, in the decimal units that the Hugging Face Hub shows; "-" for None."""
    if size is None:
        return "-"
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if size >= scale:
            return f"{size / scale:,.1f} {unit}"
    return f"{size} bytes"


def kilobytes(size: int) -> str:
    """A size of a board's memory in KB of 1,024 bytes, rounded up; in MB from 10 MB on."""
    return f"{size / 2**20:,.1f} MB" if size >= 10 * 2**20 else f"{-(-size // 1024):,} KB"


def _is_surrogate(character: str) -> bool:
    return "\ud800" <= character <= "\udfff"
