"""The vocabulary as C tables: vocabulary.h and vocabulary.c, the same text for the same tokenizer, every time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import Any

from tinyllm.codegen.emit.render import in_comment, render, rows
from tinyllm.codegen.tokenizers.encode.pretokenize import Pattern
from tinyllm.codegen.tokenizers.encode.unicode_classes import CharClass
from tinyllm.codegen.tokenizers.nfc_tables import nfc_tables
from tinyllm.codegen.tokenizers.tables import CLASS_BITS, MERGE_STRIDE, VocabularyTables, integer_bytes, lay_out
from tinyllm.codegen.tokenizers.tokenizer import Algorithm, PieceKind, Tokenizer


def vocabulary_files(tokenizer: Tokenizer) -> dict[str, str]:
    """File name -> text of vocabulary.h and vocabulary.c.

    Both include only model.h, for the size of the vocabulary. Pieces may hold any bytes. Raises UserError for what the
    board's tokenizer cannot follow.
    """
    tables = lay_out(tokenizer)
    pattern = tables.pattern
    offsets = [0, *accumulate(len(added.name) for added in tables.added)]
    fields: dict[str, Any] = {
        "tokenizer": tokenizer,
        "tables": tables,
        "algorithms": Algorithm,
        "classes": CharClass,
        "class_bits": CLASS_BITS,
        "merge_stride": MERGE_STRIDE,
        "has_bos": tokenizer.add_bos and tokenizer.bos is not None,
        "token_type": integer_type(tokenizer.vocab_size),
        "rank_type": integer_type(tables.n_ranks),
        "length_type": "uint8_t" if tables.longest < 0x100 else "uint16_t",
        "pattern_kind": "NONE" if pattern is None else "SPACES" if pattern.at_spaces else "CLASSES",
        "pattern": pattern or Pattern(()),
        "piece_lines": list(piece_lines(tables)),
        "slot_rows": rows(tables.slots),
        "token_slot_rows": rows(tables.token_slots),
        "rank_rows": rows(tables.ranks),
        "score_rows": rows(f"0x{score:x}{'u' if not tables.wide_scores else 'ull'}" for score in tables.scores),
        "byte_rows": rows(tokenizer.byte_ids),
        "user_defined_rows": rows([*tables.user_defined, "TL_NO_TOKEN"]),
        "kept_rows": rows([*(byte for piece in tables.kept for byte in (len(piece), *piece)), 0]),
        "added_lines": [
            (line(name.name, f"{'control' if name.token is None else name.token}"), name, offset)
            for name, offset in zip(tables.added, offsets, strict=False)
        ],
        "class_rows": rows(f"0x{run:x}u" for run in tables.class_runs),
        "character_map_rows": rows([*tokenizer.character_map[4:], 0]),
        "character_map_units": int.from_bytes(tokenizer.character_map[:4], "little") // 4,
    }
    if tokenizer.nfc:
        nfc = nfc_tables()
        fields |= {
            "nfc": nfc,
            "nfc_class_rows": rows(f"0x{run:x}u" for run in nfc.class_runs),
            "nfc_apart_rows": rows(f"{{0x{code:x}, {offset}, {length}}}" for code, offset, length in nfc.apart),
            "nfc_byte_rows": rows(nfc.text),
            "nfc_together_rows": rows(
                f"{{0x{first:x}, 0x{second:x}, 0x{code:x}}}" for first, second, code in nfc.together
            ),
        }
    if tables.merges is not None:
        fields |= {
            "left_type": "uint8_t" if tables.merges.last == 0x80 else "uint16_t",
            "left_rows": rows(tables.merges.left),
            "merge_rank_rows": rows(tables.merges.ranks),
            "base_type": integer_type(len(tables.merges.left)),
            "base_rows": rows(tables.merges.base),
        }
    return {name: render(name, **fields) for name in ("vocabulary.h", "vocabulary.c")}


def integer_type(n: int) -> str:
    """The smaller C type for 0..n-1 and one value more, for none."""
    return "uint16_t" if integer_bytes(n) == 2 else "uint32_t"


def piece_lines(tables: VocabularyTables) -> Iterator[str]:
    """One line per slot: the bytes, and a comment with the id, what it is if it is not NORMAL, and its text."""
    for token, text in zip(tables.slots, tables.texts, strict=True):
        kind = tables.tokenizer.kinds[token]
        note = "" if kind is PieceKind.NORMAL else f" {PieceKind(kind).name.lower()}"
        yield line(text, f"{token}{note}", tables.tokenizer.pieces[token])


def line(text: bytes, note: str, shown: bytes | None = None) -> str:
    """Bytes, and a comment with what they spell."""
    numbers = "".join(f"{byte}," for byte in text)
    return f'{numbers}  /* {note} "{in_comment(text if shown is None else shown)}" */'.lstrip()
