"""The letters that stand for bytes in the vocabularies of byte-level BPE.

Source: bytes_to_unicode in src/encoder.py of github.com/openai/gpt-2. A byte that prints in Latin-1 is written as its
own character; the other bytes, in order, as U+0100, U+0101 and so on.
"""

from __future__ import annotations

_PRINTING = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
_OTHERS = [byte for byte in range(256) if byte not in _PRINTING]
LETTERS = {byte: chr(byte) for byte in _PRINTING} | {byte: chr(0x100 + n) for n, byte in enumerate(_OTHERS)}
"""Byte -> the letter for it."""
BYTES = {letter: byte for byte, letter in LETTERS.items()}


def bytes_of(letters: str) -> bytes | None:
    """The bytes that these letters stand for; None if one of the letters stands for no byte."""
    try:
        return bytes([BYTES[letter] for letter in letters])
    except KeyError:
        return None
