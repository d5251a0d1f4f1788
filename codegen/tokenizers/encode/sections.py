"""Cuts a text at its added tokens. Each added token has an id of its own; the text between two of them is a section."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tinyllm.codegen.tokenizers.encode.unicode_classes import WHITE_SPACE
from tinyllm.codegen.tokenizers.tokenizer import Strip, Tokenizer


@dataclass(frozen=True)
class Section:
    """A section of text, or an added token if `token` is not None. first: whether the whole text begins here."""

    text: bytes
    token: int | None
    first: bool


def cut_sections(tokenizer: Tokenizer, text: bytes, special: bool) -> Iterator[Section]:
    """The sections of `text` and the added tokens between them. Sections without text are left out.

    Added tokens are found from left to right, at each place the longest one. special: CONTROL pieces are added tokens.
    Otherwise, if USER_DEFINED pieces are added tokens, the name of a CONTROL piece stays text and hides the names that
    overlap it, as in tokenizers (tokenizer/added_vocabulary.rs of github.com/huggingface/tokenizers). A token that
    strips to the left is dropped if it lies in white space that the token before it has swallowed.
    """
    ids = (tokenizer.control_ids if special or tokenizer.user_defined_first else {}) | (
        tokenizer.user_defined_ids if tokenizer.user_defined_first else {}
    )
    names = sorted(filter(None, ids), key=len, reverse=True)
    strips = dict(tokenizer.strips)
    start = 0
    for match in re.finditer(b"|".join(map(re.escape, names)), text) if names else ():
        token = ids[match[0]]
        if not special and match[0] in tokenizer.control_ids:
            continue
        strip = strips.get(token, Strip())
        if strip.left and match.end() <= start:
            continue
        begin = max(start, _last_text(text, match.start()) if strip.left else match.start())
        if begin > start:
            yield Section(text[start:begin], None, start == 0)
        yield Section(b"", token, False)
        start = _next_text(text, match.end()) if strip.right else match.end()
    if start < len(text):
        yield Section(text[start:], None, start == 0)


def _last_text(text: bytes, end: int) -> int:
    """The start of the white space that ends at `end`."""
    while space := next((space for space in WHITE_SPACE if text.endswith(space, 0, end)), b""):
        end -= len(space)
    return end


def _next_text(text: bytes, start: int) -> int:
    """The end of the white space that begins at `start`."""
    while space := next((space for space in WHITE_SPACE if text.startswith(space, start)), b""):
        start += len(space)
    return start
