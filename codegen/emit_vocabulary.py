"""The vocabulary as C tables: vocabulary.h and vocabulary.c, the same text for the same tokenizer, every time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

from tinyllm.codegen.render import render, rows
from tinyllm.codegen.tokenizers.tokenizer import PieceKind, Tokenizer

UNSAFE = re.compile(r"""[^ -~]|["\\]|(?<=\*)/|(?<=/)\*|(?<=\?)\?""")
"""What a comment shows as hexadecimal: all but printable ASCII (bidirectional controls too), what would end or nest the
comment, and what could make a trigraph."""


def vocabulary_files(tokenizer: Tokenizer) -> dict[str, str]:
    """File name -> text of vocabulary.h and vocabulary.c.

    Both include only model.h, for the size of the vocabulary. Pieces may hold any bytes.
    """
    lengths = [len(piece) for piece in tokenizer.pieces]
    offsets = [0, *accumulate(lengths)]
    normal = [tokenizer.normal_ids[piece] for piece in sorted(tokenizer.normal_ids)]
    fields: dict[str, Any] = {
        "tokenizer": tokenizer,
        "token_type": integer_type(tokenizer.vocab_size),
        "offset_type": integer_type(offsets[-1]),
        "kinds": PieceKind,
        "longest_piece": max(map(len, tokenizer.normal_ids), default=1),
        "piece_lines": list(piece_lines(tokenizer)),
        "offset_rows": rows(offsets),
        "kind_rows": rows([int(kind) for kind in tokenizer.kinds]),
        "rank_rows": rows(tokenizer.ranks),
        "n_sorted": len(normal),
        "sorted_rows": rows(normal or [0]),
        "user_defined_rows": rows([*tokenizer.user_defined_ids.values(), "TL_NO_TOKEN"]),
        "byte_rows": rows(tokenizer.byte_ids or ["TL_NO_TOKEN"] * 256),
    }
    return {name: render(name, **fields) for name in ("vocabulary.h", "vocabulary.c")}


def integer_type(largest: int) -> str:
    """The smallest C type for 0..largest; for token ids that is the vocabulary size, one more than an id, for none."""
    return "uint16_t" if largest <= 0xFFFF else "uint32_t"


def piece_lines(tokenizer: Tokenizer) -> Iterator[str]:
    """One line per piece that has bytes: the bytes, and a comment with the id, what it is, and its text."""
    for token, (piece, kind) in enumerate(zip(tokenizer.pieces, tokenizer.kinds, strict=True)):
        if piece:
            numbers = "".join(f"{byte}," for byte in piece)
            note = "" if kind == PieceKind.NORMAL else f"{PieceKind(kind).name.lower()} "
            yield f'{numbers}  /* {token} {note}"{printable(piece)}" */'


def printable(piece: bytes) -> str:
    """The piece as it may stand in a C comment, whatever it holds."""
    return UNSAFE.sub(lambda match: f"\\x{ord(match[0]):02x}", piece.decode("latin-1"))
