"""The reference encoder and decoder: SentencePiece's byte-pair encoding, defined on bytes.

Encoding a text, which need not be valid UTF-8:

1. Normalise. Where the tokenizer removes extra whitespaces: drop leading spaces, make each run of spaces one space.
   Nothing left: no tokens. Turn every U+2581 (SentencePiece's space mark) into a space. Where it adds a dummy prefix:
   put a space in front. Where it removes extra whitespaces: drop trailing spaces.
2. Cut into symbols, from left to right: the longest USER_DEFINED piece that starts here (such a symbol is frozen),
   else one UTF-8 character, else (at a byte that starts no valid character: overlong forms, surrogates and numbers
   above U+10FFFF are not valid) that one byte.
3. Merge. Of all adjacent pairs without a frozen symbol whose joined bytes are a NORMAL piece, join the one whose piece
   has the lowest rank, the leftmost of equals; repeat until there is none.
4. Look up. A symbol that is a piece becomes its id. Any other symbol becomes its bytes' ids where the vocabulary has
   byte pieces; else it becomes the UNKNOWN id, once for a run of such symbols.

Memory is bounded by the text: a normalised text is at most one byte longer, each symbol is a span of it, so two
arrays (spans, and the rank of joining each span with the next) are all there is; a merge shortens both by one.

This equals SentencePiece on every valid text, given a space among the pieces. On invalid bytes SentencePiece encodes
U+FFFD; here they are kept, so decoding gives them back.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator

from tinyllm.codegen.tokenizers.tokenizer import PieceKind, Tokenizer
from tinyllm.codegen.tokenizers.vocabulary import SPACE_MARK

REPLACEMENT = "\ufffd".encode()
_SPACE_RUN = re.compile(rb" +")
_WORD = re.compile(rb" *[^ ]+| +")


def encode(tokenizer: Tokenizer, text: str | bytes, bos: bool = False) -> list[int]:
    """Token ids of `text`, after the BOS id if `bos`. A lone surrogate in a str counts as its three bytes."""
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    ids = [tokenizer.bos] if bos else []
    after_unknown = False
    for symbol in _merged_symbols(tokenizer, normalize(tokenizer, raw)):
        token = tokenizer.user_defined_ids.get(symbol, tokenizer.normal_ids.get(symbol))
        if token is not None:
            ids.append(token)
        elif tokenizer.byte_ids:
            ids.extend(tokenizer.byte_ids[byte] for byte in symbol)
        elif not after_unknown:
            ids.append(tokenizer.unknown)
        after_unknown = token is None
    return ids


def normalize(tokenizer: Tokenizer, text: bytes) -> bytes:
    """Step 1 of encoding."""
    if tokenizer.remove_extra_whitespaces:
        text = _SPACE_RUN.sub(b" ", text.lstrip(b" "))
    if not text:
        return b""
    text = text.replace(SPACE_MARK, b" ")
    if tokenizer.add_dummy_prefix:
        text = b" " + text
    return text.rstrip(b" ") if tokenizer.remove_extra_whitespaces else text


def _merged_symbols(tokenizer: Tokenizer, text: bytes) -> Iterator[bytes]:
    """Steps 2 and 3. Where no merge can cross the start of a word, words are merged one by one: the same, sooner."""
    for part in _WORD.findall(text) if tokenizer.splits_at_spaces else [text]:
        yield from _merge(tokenizer, *_split(tokenizer, part))


def _split(tokenizer: Tokenizer, text: bytes) -> tuple[list[bytes], list[bool]]:
    """Step 2: the symbols, and whether each is frozen."""
    symbols: list[bytes] = []
    frozen: list[bool] = []
    offset = 0
    while offset < len(text):
        user_defined = next((piece for piece in tokenizer.user_defined_ids if text.startswith(piece, offset)), None)
        length = utf8_length(text, offset) if user_defined is None else len(user_defined)
        symbols.append(text[offset : offset + length])
        frozen.append(user_defined is not None)
        offset += length
    return symbols, frozen


def _merge(tokenizer: Tokenizer, symbols: list[bytes], frozen: list[bool]) -> list[bytes]:
    """Step 3."""
    no_merge = tokenizer.vocab_size

    def rank(left: int) -> int:
        if frozen[left] or frozen[left + 1]:
            return no_merge
        token = tokenizer.normal_ids.get(symbols[left] + symbols[left + 1])
        return no_merge if token is None else tokenizer.ranks[token]

    ranks = [rank(left) for left in range(len(symbols) - 1)]
    while ranks and (lowest := min(ranks)) < no_merge:
        left = ranks.index(lowest)
        symbols[left : left + 2] = [symbols[left] + symbols[left + 1]]
        del frozen[left + 1], ranks[left]
        if left > 0:
            ranks[left - 1] = rank(left - 1)
        if left < len(ranks):
            ranks[left] = rank(left)
    return symbols


def utf8_length(text: bytes, offset: int) -> int:
    """Bytes of the valid UTF-8 character that starts at `offset`, or 1 if none does."""
    lead = text[offset]
    length = 2 if 0xC2 <= lead < 0xE0 else 3 if 0xE0 <= lead < 0xF0 else 4 if 0xF0 <= lead < 0xF5 else 1
    try:
        text[offset : offset + length].decode()
    except UnicodeDecodeError:
        return 1
    return length


def decode_piece(tokenizer: Tokenizer, token: int) -> bytes:
    """The bytes that one token stands for: none for a CONTROL piece, U+FFFD for the UNKNOWN one."""
    kind = tokenizer.kinds[token]
    if kind is PieceKind.CONTROL:
        return b""
    return REPLACEMENT if kind is PieceKind.UNKNOWN else tokenizer.pieces[token]


def decode(tokenizer: Tokenizer, ids: Iterable[int]) -> bytes:
    """The bytes of a whole text, from its first token on: without the space that a dummy prefix put in front."""
    text = b"".join(decode_piece(tokenizer, token) for token in ids)
    return text[1:] if tokenizer.add_dummy_prefix and text.startswith(b" ") else text


def utf8_stream() -> codecs.IncrementalDecoder:
    """A decoder whose `decode(bytes)` returns only whole characters and keeps the rest for the next call.

    What can no longer become a character turns into U+FFFD; `decode(b"", final=True)` flushes what is pending.
    """
    return codecs.getincrementaldecoder("utf-8")(errors="replace")
