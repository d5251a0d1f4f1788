"""Normalises a text before it is cut into words: rewriting, SentencePiece's character map, and spaces."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tinyllm.codegen.tokenizers.encode.rewrite import rewrite
from tinyllm.codegen.tokenizers.tokenizer import SPACE_MARK, Tokenizer

_SPACE_RUN = re.compile(rb" +")


def normalize(tokenizer: Tokenizer, text: bytes, first: bool = True) -> bytes:
    """The normal form of a section, which is the text between two added tokens. first: whether it begins the text.

    1. Apply the rewrites, one after the other (rewrite.py).
    2. Apply the character map, if there is one: from left to right, the longest key that matches becomes its
       replacement. Kept texts (`kept_texts`) do not change, here and in step 3.
    3. If the tokenizer removes extra whitespaces: drop leading spaces, make each run of spaces one space. Stop if
       nothing is left.
    4. Turn every U+2581 (SentencePiece's space mark) into a space, unless the tokenizer is byte_level or plain_spaces.
    5. If the section gets a dummy prefix: put a space in front.
    6. If the tokenizer removes extra whitespaces: drop trailing spaces.
    """
    if tokenizer.rewrites:
        text = _rewritten(tokenizer, text)
    empty = not text
    if tokenizer.character_map or (tokenizer.kept_texts and tokenizer.remove_extra_whitespaces):
        text, empty = _mapped(tokenizer, text)
    elif tokenizer.remove_extra_whitespaces:
        text = _SPACE_RUN.sub(b" ", text.lstrip(b" "))
        empty = not text
    if empty:
        return b""
    if not (tokenizer.byte_level or tokenizer.plain_spaces):
        text = text.replace(SPACE_MARK, b" ")
    prefixed = tokenizer.add_dummy_prefix and (first or tokenizer.prefix_sections)
    if prefixed and not (tokenizer.prefix_unless_space and text[:1] in (b"", b" ")):
        text = b" " + text
    return text.rstrip(b" ") if tokenizer.remove_extra_whitespaces else text


def _rewritten(tokenizer: Tokenizer, text: bytes) -> bytes:
    alphabet, automata = tokenizer.automata
    found = iter(automata)
    for step in tokenizer.rewrites:
        # Decoded anew for each step: a step that drops characters may join stray bytes to a valid character.
        characters = text.decode("utf-8", "surrogateescape")
        rewritten = rewrite(step, alphabet, next(found) if step.pattern else None, characters)
        text = rewritten.encode("utf-8", "surrogateescape")
    return text


def _mapped(tokenizer: Tokenizer, text: bytes) -> tuple[bytes, bool]:
    """The text after steps 2 and 3, and whether it had only leading spaces.

    Follows Normalizer::Normalize of src/normalizer.cc of github.com/google/sentencepiece.
    """
    after_space = folds = tokenizer.remove_extra_whitespaces
    result, empty = bytearray(), True
    for part in _map_parts(tokenizer, text):
        if folds and empty and part == b" ":
            continue
        empty = False
        part = part.lstrip(b" ") if after_space else part
        if part:
            result += part
            after_space = folds and part.endswith(b" ")
    return bytes(result), empty


def _map_parts(tokenizer: Tokenizer, text: bytes) -> Iterator[bytes]:
    """The parts of the text in order: the replacement of each key, each kept text, and every other character."""
    character_map = CharacterMap(tokenizer.character_map)
    at = 0
    while at < len(text):
        length = next((len(kept) for kept in tokenizer.kept_texts if text.startswith(kept, at)), 0)
        part = text[at : at + length]
        if not length and tokenizer.character_map:
            length, part = character_map.longest(text, at)
        if not length:
            length = utf8_length(text, at)
            part = text[at : at + length]
        yield part
        at += length


@dataclass(frozen=True)
class CharacterMap:
    """SentencePiece's precompiled_charsmap: size of the trie as a little-endian uint32, the trie, the replacements.

    The trie is a double array of little-endian uint32 units (github.com/s-yata/darts-clone): a step on a byte goes to
    the unit at (position xor byte), which must carry that byte as its label.
    """

    data: bytes

    @property
    def n_units(self) -> int:
        return int.from_bytes(self.data[:4], "little") // 4

    def unit(self, position: int) -> int:
        return int.from_bytes(self.data[4 + 4 * position : 8 + 4 * position], "little")

    def longest(self, text: bytes, at: int) -> tuple[int, bytes]:
        """The length of the longest key that `text` has at `at`, and its replacement; 0 and b"" if it has none."""
        length, value = 0, 0
        n_units = self.n_units
        position = _offset(self.unit(0))
        for end in range(at, len(text)):
            position ^= text[end]
            if position >= n_units:
                break
            unit = self.unit(position)
            if unit & 0x800000FF != text[end]:
                break
            position ^= _offset(unit)
            if unit & 0x100 and position < n_units:
                length, value = end + 1 - at, self.unit(position) & 0x7FFFFFFF
        start = 4 + 4 * n_units + value
        end = self.data.find(b"\0", start)
        return (length, self.data[start : end if end >= 0 else None]) if length else (0, b"")


def _offset(unit: int) -> int:
    return (unit >> 10) << ((unit & 0x200) >> 6)


def utf8_length(text: bytes, offset: int) -> int:
    """Bytes of the valid UTF-8 character that starts at `offset`; 1 if none starts there."""
    lead = text[offset]
    length = 2 if 0xC2 <= lead < 0xE0 else 3 if 0xE0 <= lead < 0xF0 else 4 if 0xF0 <= lead < 0xF5 else 1
    try:
        text[offset : offset + length].decode()
    except UnicodeDecodeError:
        return 1
    return length
