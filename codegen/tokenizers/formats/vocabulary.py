"""Turns the entries of a tokenizer file into a checked Tokenizer; the readers of several formats share this."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tinyllm.codegen.tokenizers.tokenizer import SPACE_MARK, Algorithm, PieceKind, Tokenizer
from tinyllm.errors import UserError
from tinyllm.text import shown

MAX_VOCABULARY = 1 << 20
MAX_PIECE_LENGTH = 1 << 10
"""The most bytes of a piece; the longest published ones, runs of spaces and rows of hyphens, have about 256."""
FILE_LIMIT = 64 << 20
LEAST_PADDING = 64

TEXT_KINDS = (PieceKind.NORMAL, PieceKind.USER_DEFINED)


@dataclass(frozen=True)
class Entry:
    """One vocabulary entry of a file. The text of a BYTE is "<0xNN>"; a space may be written as a space mark.

    An UNREACHABLE text keeps its plain spaces. Only such a text matches nothing.
    """

    text: bytes
    score: float
    kind: PieceKind


def build_tokenizer(
    path: Path,
    entries: Sequence[Entry],
    *,
    bos: int | None,
    eos: int | None,
    add_dummy_prefix: bool,
    remove_extra_whitespaces: bool,
    source: str,
    algorithm: Algorithm = Algorithm.PIECES,
    add_bos: bool = True,
    character_map: bytes = b"",
    unreachable_symbols: tuple[bytes, ...] = (),
) -> Tokenizer:
    """The Tokenizer with SentencePiece's entries. Raises UserError if they break a rule of Tokenizer.

    SentencePiece does not find control tokens in a text. Programs cut the text there and encode each section by itself,
    so each section gets the dummy prefix. Sampling BOS or EOS ends an answer. Without BOS, `add_bos` has no effect.
    """
    for token, entry in enumerate(entries):
        if not np.isfinite(entry.score):
            text = shown(entry.text)
            raise _unsound(path, f"the score of piece {token} ({text}) is {entry.score}, expected a finite number")
    kinds = tuple(entry.kind for entry in entries)
    pieces = tuple(_piece(path, token, entry) for token, entry in enumerate(entries))
    check_pieces(path, pieces, kinds)
    if kinds.count(PieceKind.UNKNOWN) > 1:
        raise _unsound(path, f"{kinds.count(PieceKind.UNKNOWN)} unknown pieces, expected one")
    # Ranks without gaps: 0 for the highest score; equal scores get equal ranks (for np.unique, 0.0 equals -0.0).
    _, ranks = np.unique([-entry.score for entry in entries], return_inverse=True)
    return Tokenizer(
        pieces=pieces,
        kinds=kinds,
        ranks=tuple(ranks.tolist()) if algorithm is Algorithm.PIECES else (),
        bos=bos,
        eos=eos,
        stop_ids=distinct(bos, eos),
        add_dummy_prefix=add_dummy_prefix,
        prefix_sections=add_dummy_prefix,
        remove_extra_whitespaces=remove_extra_whitespaces,
        source=source,
        algorithm=algorithm,
        scores=tuple(entry.score for entry in entries) if algorithm is Algorithm.UNIGRAM else (),
        add_bos=add_bos and bos is not None,
        character_map=character_map,
        unreachable_symbols=unreachable_symbols,
    )


def check_pieces(
    path: Path,
    pieces: Sequence[bytes],
    kinds: Sequence[PieceKind],
    byte_level: bool = False,
    every_byte: bool = False,
    user_defined_first: bool = False,
    drops_unknown: bool = False,
) -> None:
    """Raise UserError, naming the piece, if the pieces break a rule of Tokenizer's docstring.

    every_byte: each byte must be a NORMAL piece, as tiktoken needs; else, if byte_level, at least one byte must.
    drops_unknown: whether encoding may drop characters without a piece.
    """
    seen: dict[tuple[bytes, PieceKind], int] = {}
    for token, (piece, kind) in enumerate(zip(pieces, kinds, strict=True)):
        if kind in TEXT_KINDS:
            if not piece:
                raise _unsound(path, f"piece {token} is empty, expected at least one character")
            if len(piece) > MAX_PIECE_LENGTH:
                raise _unsound(path, f"piece {token} has {len(piece):,} bytes, expected at most {MAX_PIECE_LENGTH:,}")
            if not byte_level and not _is_utf8(piece):
                raise _unsound(path, f"piece {token} ({shown(piece)}) is not valid UTF-8")
        if kind in TEXT_KINDS or kind is PieceKind.BYTE:
            apart = kind is PieceKind.BYTE or user_defined_first
            first = seen.setdefault((piece, kind if apart else PieceKind.NORMAL), token)
            if first != token:
                text = shown(piece)
                raise _unsound(path, f"pieces {first} and {token} are both {text}, expected distinct ones")
    counts = {kind: kinds.count(kind) for kind in (PieceKind.BYTE, PieceKind.UNKNOWN)}
    if counts[PieceKind.BYTE] not in (0, 256):
        raise _unsound(path, f"{counts[PieceKind.BYTE]} byte pieces, expected all 256 or none")
    if byte_level:
        tokens = [seen.get((bytes([byte]), PieceKind.NORMAL)) for byte in range(256)]
        missing = [b for b, token in enumerate(tokens) if token is None or kinds[token] is not PieceKind.NORMAL]
        if missing and (every_byte or len(missing) == len(tokens)):
            wanted = "one for each byte" if every_byte else "some to begin with"
            raise _unsound(path, f"no piece stands for the single byte 0x{missing[0]:02X}, expected {wanted}")
    elif not drops_unknown and not counts[PieceKind.BYTE] and not counts[PieceKind.UNKNOWN]:
        raise _unsound(path, "neither byte pieces nor an unknown piece, one is needed for text without pieces")


def fit_vocabulary(model_path: Path, vocab_size: int, tokenizer_path: Path, tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer with as many pieces as the model's embedding has rows.

    Checkpoints round the rows of the embedding up to a multiple of 64 or more. The rows without a piece get CONTROL
    pieces named "[PAD<id>]", as in GGUF converters. Raises UserError, with both files and numbers, if the tokenizer is
    larger, or smaller by more than such rounding explains.
    """
    missing = vocab_size - tokenizer.vocab_size
    if not 0 <= missing <= max(LEAST_PADDING, tokenizer.vocab_size // 8):
        raise UserError(
            f"{model_path} has a vocabulary of {vocab_size}, its tokenizer {tokenizer_path} has"
            f" {tokenizer.vocab_size} pieces; give the tokenizer that the model was trained with"
        )
    if not missing:
        return tokenizer
    fillers = tuple(b"[PAD%d]" % token for token in range(tokenizer.vocab_size, vocab_size))
    return add_control_pieces(tokenizer, fillers)


def add_control_pieces(tokenizer: Tokenizer, names: tuple[bytes, ...]) -> Tokenizer:
    """The tokenizer with CONTROL pieces of these names after its own pieces."""
    last_rank = max(tokenizer.ranks, default=0) + 1
    return replace(
        tokenizer,
        pieces=tokenizer.pieces + names,
        kinds=tokenizer.kinds + (PieceKind.CONTROL,) * len(names),
        ranks=tokenizer.ranks and tokenizer.ranks + (last_rank,) * len(names),
        scores=tokenizer.scores and tokenizer.scores + (max(tokenizer.scores),) * len(names),
    )


def distinct(*tokens: int | None) -> tuple[int, ...]:
    """The ids that are not None, each once."""
    return tuple(dict.fromkeys(token for token in tokens if token is not None))


def byte_value(text: bytes) -> int | None:
    """The byte that the text "<0xNN>" (upper-case hexadecimal) names; None for any other text."""
    if len(text) == 6 and text.startswith(b"<0x") and text.endswith(b">"):
        digits = text[3:5]
        if all(digit in b"0123456789ABCDEF" for digit in digits):
            return int(digits, 16)
    return None


def _piece(path: Path, token: int, entry: Entry) -> bytes:
    if entry.kind is not PieceKind.BYTE:
        return entry.text.replace(SPACE_MARK, b" ")
    value = byte_value(entry.text)
    if value is None:
        raise _unsound(path, f"byte piece {token} is {shown(entry.text)}, expected <0x00> to <0xFF>")
    return bytes([value])


def _is_utf8(piece: bytes) -> bool:
    try:
        piece.decode()
    except UnicodeDecodeError:
        return False
    return True


def _unsound(path: Path, problem: str) -> UserError:
    return UserError(f"{path}: {problem}; export the tokenizer again with current tools")
