"""The one form of a tokenizer, whatever file it came from, and the vocabulary words the C tables use."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property


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
    USER_DEFINED = 4
    """Text that is always taken whole, before any merge, and never merges; decodes to its bytes."""


@dataclass(frozen=True)
class Tokenizer:
    """Byte-pair encoding with scores (SentencePiece BPE), pieces stored as plain bytes.

    pieces: bytes of each token id; the SentencePiece space mark U+2581 is already a space; a BYTE piece is one byte.
    kinds: PieceKind of each id.
    ranks: merge order of each id: the adjacent pair whose joined piece has the LOWEST rank merges first, leftmost on
        a tie.
    bos, eos: token ids. stop_ids: sampling one of these ends an answer.
    add_dummy_prefix: put a space before non-empty text before encoding, as SentencePiece does.
    remove_extra_whitespaces: trim leading and trailing spaces and fold runs of them, as SentencePiece does where its
        model says so.
    source: what it was read from, for `inspect` ("llama2.c tok.bin", "sentencepiece").

    There is exactly one UNKNOWN piece; NORMAL and USER_DEFINED pieces are distinct, non-empty, valid UTF-8;
    the BYTE pieces are all 256 or none.
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

    @cached_property
    def unknown(self) -> int:
        """The id of the UNKNOWN piece."""
        return self.kinds.index(PieceKind.UNKNOWN)

    @cached_property
    def normal_ids(self) -> dict[bytes, int]:
        """The id of each NORMAL piece."""
        return self._ids(PieceKind.NORMAL)

    @cached_property
    def user_defined_ids(self) -> dict[bytes, int]:
        """The id of each USER_DEFINED piece, longest piece first."""
        return dict(sorted(self._ids(PieceKind.USER_DEFINED).items(), key=lambda entry: -len(entry[0])))

    @cached_property
    def byte_ids(self) -> tuple[int, ...]:
        """The id of each byte 0..255, or () where the vocabulary has no byte fallback."""
        ids = self._ids(PieceKind.BYTE)
        return tuple(ids[bytes([byte])] for byte in range(256)) if ids else ()

    @cached_property
    def splits_at_spaces(self) -> bool:
        """Whether no piece holds a space after another character, so that no merge crosses such a place in a text."""
        return not any(b" " in piece.lstrip(b" ") for piece in (*self.normal_ids, *self.user_defined_ids))

    def _ids(self, kind: PieceKind) -> dict[bytes, int]:
        return {piece: token for token, piece in enumerate(self.pieces) if self.kinds[token] is kind}
