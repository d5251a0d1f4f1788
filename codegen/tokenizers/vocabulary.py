"""From the entries of a tokenizer file to a checked Tokenizer, whatever the format."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyllm.boards.errors import UserError
from tinyllm.codegen.tokenizers.tokenizer import PieceKind, Tokenizer

MAX_VOCABULARY = 1 << 20
FILE_LIMIT = 64 << 20
SPACE_MARK = "\u2581".encode()


@dataclass(frozen=True)
class Entry:
    """One vocabulary entry as a file gives it; the text of a BYTE is "<0xNN>", a space may be a space mark."""

    text: bytes
    score: float
    kind: PieceKind


def build_tokenizer(
    path: Path,
    entries: Sequence[Entry],
    *,
    bos: int,
    eos: int,
    add_dummy_prefix: bool,
    remove_extra_whitespaces: bool,
    source: str,
) -> Tokenizer:
    """The Tokenizer these entries make. Raises UserError where they break a rule stated in Tokenizer."""

    def refuse(problem: str) -> UserError:
        return UserError(f"{path}: {problem}; export the tokenizer again with current tools")

    pieces: list[bytes] = []
    seen: dict[tuple[bytes, bool], int] = {}
    for token, entry in enumerate(entries):
        text = reprlib.repr(entry.text)
        if not np.isfinite(entry.score):
            raise refuse(f"the score of piece {token} ({text}) is {entry.score}, expected a finite number")
        piece = entry.text.replace(SPACE_MARK, b" ")
        if entry.kind is PieceKind.BYTE:
            value = byte_value(entry.text)
            if value is None:
                raise refuse(f"byte piece {token} is {text}, expected <0x00> to <0xFF>")
            piece = bytes([value])
        if entry.kind in (PieceKind.NORMAL, PieceKind.USER_DEFINED):
            try:
                piece.decode()
            except UnicodeDecodeError:
                raise refuse(f"piece {token} ({text}) is not valid UTF-8") from None
            if not piece:
                raise refuse(f"piece {token} is empty, expected at least one character")
        if entry.kind in (PieceKind.NORMAL, PieceKind.USER_DEFINED, PieceKind.BYTE):
            first = seen.setdefault((piece, entry.kind is PieceKind.BYTE), token)
            if first != token:
                raise refuse(f"pieces {first} and {token} are both {text}, expected distinct ones")
        pieces.append(piece)

    kinds = tuple(entry.kind for entry in entries)
    if kinds.count(PieceKind.BYTE) not in (0, 256):
        raise refuse(f"{kinds.count(PieceKind.BYTE)} byte pieces, expected all 256 or none")
    if kinds.count(PieceKind.UNKNOWN) != 1:
        raise refuse(f"{kinds.count(PieceKind.UNKNOWN)} unknown pieces, expected one")
    # Dense ranks: 0 for the highest score, equal scores equal ranks (np.unique holds 0.0 and -0.0 for equal).
    _, ranks = np.unique([-entry.score for entry in entries], return_inverse=True)
    return Tokenizer(
        pieces=tuple(pieces),
        kinds=kinds,
        ranks=tuple(ranks.tolist()),
        bos=bos,
        eos=eos,
        stop_ids=(bos, eos),
        add_dummy_prefix=add_dummy_prefix,
        remove_extra_whitespaces=remove_extra_whitespaces,
        source=source,
    )


def byte_value(text: bytes) -> int | None:
    """The byte that "<0xNN>" (upper-case hexadecimal) names, else None."""
    if len(text) == 6 and text.startswith(b"<0x") and text.endswith(b">"):
        digits = text[3:5]
        if all(digit in b"0123456789ABCDEF" for digit in digits):
            return int(digits, 16)
    return None
