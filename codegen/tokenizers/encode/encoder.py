"""The reference encoder and decoder, defined on bytes: the specification of firmware/engine/tokenizer.c.

Encoding a text, which need not be valid UTF-8:

1. Sections. From left to right, take out the longest added token that begins here. The name of a CONTROL piece is one
   in a rendered chat template, never in text that a person typed. A USER_DEFINED piece is one if these come first
   (`user_defined_first`, as in Hugging Face). A token that strips also takes the white space beside it. The text
   between two added tokens is a section, encoded on its own.
2. Normalise each section (normalize.py).
3. Words. Cut the section step by step (cut.py), then by the tokenizer's pattern, if it has one (pretokenize.py). If
   words have a prefix or a suffix, add it to each word. Steps 4 and 5 are for each word.
4. Symbols. A byte-level tokenizer without an UNKNOWN piece drops the bytes that are no pieces. Then, from left to
   right, the next symbol is the longest USER_DEFINED piece that starts here (such a symbol is frozen), unless these
   came first; else one byte if the tokenizer is byte-level; else one UTF-8 character; else, if no valid character
   starts here, one byte. Overlong forms, surrogates and numbers above U+10FFFF are not valid. A suffix belongs to the
   last symbol. Drop the symbols that are no pieces if there is no other way to write them.
5. Pieces. Join symbols by the tokenizer's algorithm:
   PIECES: consider all adjacent pairs without a frozen symbol whose joined bytes are a NORMAL piece. Join the pair
   whose piece has the lowest rank, the leftmost of equals. Repeat until there is none.
   PAIRS: the same, but a pair must be in the list of merges, and its index there is its rank.
   UNIGRAM: the best cut (unigram.py).
   WORDS: the word is one symbol.
   WORD_PIECES: the longest pieces from left to right (word_pieces.py); if they do not cover it, the word is one symbol.
   If whole words are preferred, a word that is a NORMAL piece is left whole.
6. Ids. A symbol that is a piece becomes its id. Any other symbol becomes its bytes' ids if the vocabulary has byte
   pieces; else it becomes the UNKNOWN id. If such symbols fuse, a run of them in a word becomes one UNKNOWN id.

Memory is bounded by the text: each symbol is a span of it, so a few arrays of the text's length are enough.

This gives the ids of sentencepiece, tokenizers and tiktoken on every valid text (of sentencepiece if a space is among
the pieces; of tokenizers with `encode_special_tokens`). For invalid bytes sentencepiece encodes U+FFFD. Here they are
kept, so decoding gives them back.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Iterator
from heapq import heappop, heappush

from tinyllm.codegen.tokenizers.encode.cut import cut_spans
from tinyllm.codegen.tokenizers.encode.normalize import normalize, utf8_length
from tinyllm.codegen.tokenizers.encode.pretokenize import words
from tinyllm.codegen.tokenizers.encode.sections import cut_sections
from tinyllm.codegen.tokenizers.encode.unigram import best_path
from tinyllm.codegen.tokenizers.encode.word_pieces import greedy_pieces
from tinyllm.codegen.tokenizers.tokenizer import Algorithm, PieceKind, Tokenizer

REPLACEMENT = "\ufffd".encode()
WORD_CACHE = 1 << 16
"""The most words whose pieces are remembered, so that a long text is encoded quickly."""

_WORD = re.compile(rb" *[^ ]+| +")


def encode(tokenizer: Tokenizer, text: str | bytes, bos: bool = False, special: bool = False) -> list[int]:
    """Token ids of `text`. A lone surrogate in a str is encoded as its three bytes.

    bos: a conversation begins here, so the BOS id comes first if the tokenizer adds one. special: names of CONTROL
    pieces become these pieces, as in a rendered chat template.
    """
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    ids = [tokenizer.bos] if bos and tokenizer.add_bos and tokenizer.bos is not None else []
    return ids + _encode_text(tokenizer, raw, True, special)


def encode_section(tokenizer: Tokenizer, text: bytes, first: bool) -> list[int]:
    """Token ids of the text between two CONTROL pieces. first: whether it begins the whole text."""
    return _encode_text(tokenizer, text, first, special=False)


def _encode_text(tokenizer: Tokenizer, text: bytes, first: bool, special: bool) -> list[int]:
    ids: list[int] = []
    for section in cut_sections(tokenizer, text, special):
        if section.token is not None:
            ids.append(section.token)
            continue
        normal = normalize(tokenizer, section.text, first and section.first)
        for word in cut_words(tokenizer, normal):
            ids += _encode_word(tokenizer, b" " * tokenizer.word_prefix + word + b" " * tokenizer.word_suffix)
    return ids


def cut_words(tokenizer: Tokenizer, text: bytes) -> Iterator[bytes]:
    """Step 3: the words of a normalised section; none of them is empty."""
    parts = [text] if text else []
    if tokenizer.cuts:
        alphabet, automata = tokenizer.automata
        characters = text.decode("utf-8", "surrogateescape")
        symbols, spans = alphabet.read(characters), [(0, len(characters))]
        for cut, automaton in zip(tokenizer.cuts, automata[-len(tokenizer.cuts) :], strict=True):
            spans = [part for span in spans for part in cut_spans(cut, automaton, symbols, *span)]
        parts = [characters[start:end].encode("utf-8", "surrogateescape") for start, end in spans]
    for part in parts:
        yield from words(tokenizer.pattern, part) if tokenizer.pattern else [part]


def _encode_word(tokenizer: Tokenizer, word: bytes) -> list[int]:
    """Steps 4 to 6."""
    ids: list[int] = []
    after_unknown = False
    user_defined = {} if tokenizer.user_defined_first else tokenizer.user_defined_ids
    for symbol in _pieces(tokenizer, word):
        token = user_defined.get(symbol, tokenizer.normal_ids.get(symbol))
        if token is not None:
            ids.append(token)
        elif tokenizer.byte_ids:
            ids.extend(tokenizer.byte_ids[byte] for byte in symbol)
        elif tokenizer.unknown is not None and not (after_unknown and tokenizer.fuses_unknown):
            ids.append(tokenizer.unknown)
        after_unknown = token is None
    return ids


def _pieces(tokenizer: Tokenizer, word: bytes) -> Iterable[bytes]:
    """Steps 4 and 5. If no merge can cross a space, each part is merged by itself: the same result in less time."""
    if tokenizer.whole_words and word in tokenizer.normal_ids:
        return [word]
    if tokenizer.algorithm is Algorithm.UNIGRAM:
        return best_path(tokenizer, word)
    if tokenizer.algorithm is Algorithm.WORDS:
        return [word]
    if tokenizer.algorithm is Algorithm.WORD_PIECES:
        return _greedy(tokenizer, word)
    word = word.translate(None, tokenizer.dropped_bytes)
    parts = _WORD.findall(word) if tokenizer.splits_at_spaces else [word]
    return [symbol for part in parts for symbol in _merged(tokenizer, part)]


def _greedy(tokenizer: Tokenizer, word: bytes) -> list[bytes]:
    return _cached(tokenizer, word, lambda: greedy_pieces(tokenizer.normal_ids, tokenizer.longest_word, word) or [word])


def _merged(tokenizer: Tokenizer, part: bytes) -> list[bytes]:
    return _cached(tokenizer, part, lambda: _merge(tokenizer, *_split(tokenizer, part)))


def _cached(tokenizer: Tokenizer, part: bytes, make: Callable[[], list[bytes]]) -> list[bytes]:
    cache = tokenizer.word_cache
    if part not in cache:
        if len(cache) >= WORD_CACHE:
            cache.clear()
        cache[part] = make()
    return cache[part]


def _split(tokenizer: Tokenizer, text: bytes) -> tuple[list[bytes], list[bool]]:
    """Step 4: the symbols, and whether each is frozen."""
    user_defined = {} if tokenizer.user_defined_first else tokenizer.user_defined_ids
    symbols: list[bytes] = []
    frozen: list[bool] = []
    offset = 0
    while offset < len(text):
        taken = next((piece for piece in user_defined if text.startswith(piece, offset)), None)
        length = len(taken) if taken else 1 if tokenizer.byte_level else utf8_length(text, offset)
        if tokenizer.word_suffix and offset + length == len(text) - 1:
            length += 1
        symbol = text[offset : offset + length]
        if not tokenizer.drops_unknown or taken or symbol in tokenizer.normal_ids:
            symbols.append(symbol)
            frozen.append(taken is not None)
        offset += length
    return symbols, frozen


def _merge(tokenizer: Tokenizer, symbols: list[bytes], frozen: list[bool]) -> list[bytes]:
    """Step 5. `before` and `after` hold each symbol's neighbours. A symbol that was joined to its left one is empty."""
    rank_of = rank_of_pair(tokenizer)
    n = len(symbols)
    before, after = list(range(-1, n - 1)), list(range(1, n + 1))
    ranks: list[int | None] = [None] * n
    waiting: list[tuple[int, int]] = []

    def look_up(left: int) -> None:
        right = after[left]
        rank = None if right == n or frozen[left] or frozen[right] else rank_of(symbols[left], symbols[right])
        ranks[left] = rank
        if rank is not None:
            heappush(waiting, (rank, left))

    for left in range(n):
        look_up(left)
    while waiting:
        rank, left = heappop(waiting)
        if ranks[left] != rank:  # One of the pair was joined with another symbol since.
            continue
        right = after[left]
        symbols[left] += symbols[right]
        symbols[right], ranks[right] = b"", None
        after[left] = after[right]
        if after[left] < n:
            before[after[left]] = left
        look_up(left)
        if before[left] >= 0:
            look_up(before[left])
    return [symbol for symbol in symbols if symbol]


def rank_of_pair(tokenizer: Tokenizer) -> Callable[[bytes, bytes], int | None]:
    """The function that gives the rank of two neighbours. The lowest rank joins first, a pair of rank None never."""
    if tokenizer.algorithm is Algorithm.PAIRS:
        return lambda left, right: tokenizer.pair_ranks.get((left, right))
    if tokenizer.algorithm is not Algorithm.PIECES:
        return lambda left, right: None

    def piece_rank(left: bytes, right: bytes) -> int | None:
        token = tokenizer.normal_ids.get(left + right)
        return None if token is None else tokenizer.ranks[token]

    return piece_rank


def decode_piece(tokenizer: Tokenizer, token: int) -> bytes:
    """The bytes of one token, with the space before them, if any. A CONTROL piece has none, UNKNOWN has U+FFFD.

    A byte-level piece may be part of a character; `utf8_stream` puts the parts together.
    """
    kind = tokenizer.kinds[token]
    if kind is PieceKind.CONTROL:
        return b""
    text = REPLACEMENT if kind is PieceKind.UNKNOWN else tokenizer.pieces[token]
    if tokenizer.joins or (tokenizer.algorithm is Algorithm.WORD_PIECES and kind is not PieceKind.NORMAL):
        text = b" " + text
    return text[1:] if token in tokenizer.bare else text


def decode(tokenizer: Tokenizer, ids: Iterable[int]) -> bytes:
    """The bytes of a whole text, from its first token on, without the spaces that a prefix or suffix added."""
    text = b"".join(decode_piece(tokenizer, token) for token in ids)
    text = text[1:] if tokenizer.space_first and text.startswith(b" ") else text
    return text[:-1] if tokenizer.word_suffix and text.endswith(b" ") else text


def utf8_stream() -> codecs.IncrementalDecoder:
    """A decoder whose `decode(bytes)` returns only whole characters and keeps the rest for the next call.

    Bytes that can no longer become a character turn into U+FFFD. `decode(b"", final=True)` flushes the pending bytes.
    """
    return codecs.getincrementaldecoder("utf-8")(errors="replace")
