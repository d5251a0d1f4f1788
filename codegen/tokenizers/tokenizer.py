"""The one form of a tokenizer, whatever file it came from, and the vocabulary words the C tables use."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class PieceKind(IntEnum):
    """What a vocabulary entry is; the values are emitted into the C tables."""

    NORMAL = 0
    """Text that merges may produce and that decodes to its bytes."""
    CONTROL = 1
    """BOS, EOS, padding: never produced from text, decodes to nothing."""
    BYTE = 2
    """One raw byte, the fallback for characters outside the vocabulary."""
    UNKNOWN = 3
    """Stands for text that cannot be encoded at all."""


@dataclass(frozen=True)
class Tokenizer:
    """Byte-pair encoding with scores (SentencePiece BPE), pieces stored as plain bytes.

    pieces: bytes of each token id; the SentencePiece space mark U+2581 is already a space; a BYTE piece is its one byte.
    kinds: PieceKind of each id.
    ranks: merge order of each id: the adjacent pair whose joined piece has the LOWEST rank merges first, leftmost on a tie.
    bos, eos: token ids. stop_ids: sampling one of these ends an answer.
    add_dummy_prefix: put a space before non-empty text before encoding, as SentencePiece does.
    remove_extra_whitespaces: trim leading and trailing spaces and fold runs of them, as SentencePiece does where its model says so.
    source: what it was read from, for `inspect` ("llama2.c tok.bin", "sentencepiece").
    """

    pieces: tuple[bytes, ...]
    kinds: tuple[PieceKind, ...]
    ranks: tuple[int, ...]
    bos: int
    eos: int
    stop_ids: tuple[int, ...]
    add_dummy_prefix: bool
    remove_extra_whitespaces: bool
    source: str

    @property
    def vocab_size(self) -> int:
        return len(self.pieces)
