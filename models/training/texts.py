"""Reads stories from text files: UTF-8, a line `<|endoftext|>` between stories, as TinyStories (arXiv 2305.07759)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tinyllm.errors import UserError
from tinyllm.files import read_bytes

SEPARATOR = "<|endoftext|>"
LARGEST_TEXT = 1 << 28
"""Bytes. The corpus is held in memory, and models of the sizes trained here learn nothing more from a longer one."""


def read_utf8(path: Path) -> str:
    """The text of a file.

    Raises UserError if the file cannot be read, is too large, is not UTF-8, has a zero byte (a binary file) or no text.
    """
    raw = read_bytes(path, LARGEST_TEXT)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8 text") from None
    if "\0" in text:
        raise UserError(f"{path}: a zero byte in it, at byte {raw.index(0)}; expected a text, this is a binary file")
    if not text.strip():
        raise UserError(f"{path}: no text in it; expected UTF-8, with a line {SEPARATOR} between stories")
    return text


def read_stories(paths: Sequence[Path]) -> list[str]:
    """The stories of all files, stripped, without empty ones. Raises UserError as read_utf8, and for a file without a
    story.
    """
    stories = []
    for path in paths:
        found = [story for part in read_utf8(path).split(SEPARATOR) if (story := part.strip())]
        if not found:
            raise UserError(f"{path}: no story found; expected text with a line {SEPARATOR} between stories")
        stories += found
    return stories
