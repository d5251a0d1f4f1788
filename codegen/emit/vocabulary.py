"""The vocabulary as C tables: vocabulary.h and vocabulary.c, the same text for the same tokenizer, every time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import Any

from tinyllm.codegen.emit.render import in_comment, render, rows
from tinyllm.codegen.tokenizers.encode.automaton import NO_CHARACTER
from tinyllm.codegen.tokenizers.encode.cut import Behavior
from tinyllm.codegen.tokenizers.encode.pretokenize import Pattern
from tinyllm.codegen.tokenizers.encode.rewrite import RewriteKind
from tinyllm.codegen.tokenizers.encode.unicode_classes import CharClass
from tinyllm.codegen.tokenizers.encode.unicode_data import LOWER_CASE
from tinyllm.codegen.tokenizers.normal_forms import Decompositions, combining_classes, compositions
from tinyllm.codegen.tokenizers.tables import CLASS_BITS, MERGE_STRIDE, VocabularyTables, integer_bytes, lay_out
from tinyllm.codegen.tokenizers.tokenizer import Algorithm, PieceKind, Tokenizer


def vocabulary_files(tokenizer: Tokenizer) -> dict[str, str]:
    """File name -> text of vocabulary.h and vocabulary.c.

    Both include only model.h, for the size of the vocabulary. Pieces may hold any bytes. Raises UserError if a board
    cannot follow this tokenizer.
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
    fields |= rewrite_fields(tables)
    if tables.merges is not None:
        fields |= {
            "left_type": "uint8_t" if tables.merges.last == 0x80 else "uint16_t",
            "left_rows": rows(tables.merges.left),
            "merge_rank_rows": rows(tables.merges.ranks),
            "base_type": integer_type(len(tables.merges.left)),
            "base_rows": rows(tables.merges.base),
        }
    return {name: render(name, **fields) for name in ("vocabulary.h", "vocabulary.c")}


def rewrite_fields(tables: VocabularyTables) -> dict[str, Any]:
    """The fields for the steps before the model: rewrites, automata, cuts."""
    tokenizer = tables.tokenizer
    alphabet, automata = tokenizer.automata
    starts = [0, *accumulate(len(automaton.table) for automaton in automata)]
    numbers = iter(range(len(automata)))
    contents = [0, *accumulate(len(step.content) for step in tokenizer.rewrites)]
    fields: dict[str, Any] = {
        "rewrite_kinds": RewriteKind,
        "behaviors": Behavior,
        "rewrite_lines": [
            f"{{TL_{step.kind.name}, {next(numbers) if step.pattern else 0}, {contents[n]}, {len(step.content)},"
            f" {step.left + 2 * step.right}}},"
            for n, step in enumerate(tokenizer.rewrites)
        ],
        "rewrite_bytes": line(b"".join(step.content for step in tokenizer.rewrites) + b"\0", "what is put in"),
        "cut_lines": [f"{{{next(numbers)}, TL_{cut.behavior.name}, {int(cut.invert)}}}," for cut in tokenizer.cuts],
        "n_automata": len(automata),
        "n_symbols": alphabet.size,
        "n_symbol_runs": len(alphabet.starts),
        "no_character": NO_CHARACTER,
        "symbol_rows": rows(
            f"0x{start << 8 | symbol:x}u" for start, symbol in zip(alphabet.starts, alphabet.symbols, strict=True)
        ),
        "automaton_rows": rows(starts[:-1]),
        "automaton_table_rows": rows(byte for automaton in automata for byte in automaton.table),
        "lower_rows": rows(f"{{0x{first:x}, {by}, {last - first}, {step}}}" for first, last, step, by in LOWER_CASE),
        "lower_runs": len(LOWER_CASE) if tables.lowers else 0,
        "bare_rows": rows([*tokenizer.bare, "TL_NO_TOKEN"]),
    }
    if not tables.decompositions:
        return fields
    composed = compositions()
    return fields | {
        "decompositions": {name: decomposition_fields(table) for name, table in tables.decompositions.items()},
        "combining_rows": rows(f"0x{run:x}u" for run in combining_classes()),
        "n_combining_runs": len(combining_classes()),
        "compositions": composed,
        "composition_rows": rows(
            f"{{0x{first:x}, 0x{second:x}, 0x{code:x}}}" for first, second, code in composed.pairs
        ),
    }


def decomposition_fields(table: Decompositions) -> dict[str, Any]:
    return {
        "runs": rows(f"{{0x{first:x}, {offset}, {count}, {length}}}" for first, offset, count, length in table.runs),
        "n_runs": len(table.runs),
        "text": rows(table.text),
    }


def integer_type(n: int) -> str:
    """The smallest C type that holds 0..n-1 and one more value, which means none."""
    return "uint16_t" if integer_bytes(n) == 2 else "uint32_t"


def piece_lines(tables: VocabularyTables) -> Iterator[str]:
    """One line per slot: the bytes, and a comment with the id, the kind if it is not NORMAL, and the text."""
    for token, text in zip(tables.slots, tables.texts, strict=True):
        kind = tables.tokenizer.kinds[token]
        note = "" if kind is PieceKind.NORMAL else f" {PieceKind(kind).name.lower()}"
        yield line(text, f"{token}{note}", tables.tokenizer.pieces[token])


def line(text: bytes, note: str, shown: bytes | None = None) -> str:
    """The bytes as numbers, and a comment with `note` and their text, or the text `shown`."""
    numbers = "".join(f"{byte}," for byte in text)
    return f'{numbers}  /* {note} "{in_comment(text if shown is None else shown)}" */'.lstrip()
