"""The tables of a vocabulary: every piece is found in its slot, and their size is as stated."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from tests.unit.tokenizer_forms import FORMS, form
from tinyllm.boards.description import FIRMWARE
from tinyllm.codegen.emit.vocabulary import vocabulary_files
from tinyllm.codegen.tokenizers.encode.encoder import decode_piece
from tinyllm.codegen.tokenizers.tables import lay_out
from tinyllm.errors import UserError

ALIGNMENT = 32
"""Bytes that a compiler may leave before a table."""


@pytest.mark.parametrize("name", FORMS)
def test_every_piece_lies_in_the_group_of_its_length_and_in_order(name: str) -> None:
    tables = lay_out(form(name).ours)
    for token, slot in enumerate(tables.token_slots):
        assert tables.slots[slot] == token
        assert tables.texts[slot] == decode_piece(tables.tokenizer, token)
    for group in tables.groups:
        members = tables.texts[group.first : group.first + group.n_sorted]
        assert list(members) == sorted(set(members))
        assert {len(text) for text in members} <= {group.length}


@pytest.mark.parametrize("name", FORMS)
def test_the_size_told_is_that_of_the_compiled_tables(name: str, tmp_path: Path) -> None:
    tokenizer = form(name).ours
    for file, text in vocabulary_files(tokenizer).items():
        (tmp_path / file).write_text(text)
    (tmp_path / "model.h").write_text(f"#define TL_VOCAB_SIZE {tokenizer.vocab_size}u\n")
    subprocess.run(["cc", "-std=c99", f"-I{FIRMWARE}/engine", "-c", "vocabulary.c"], cwd=tmp_path, check=True)
    with (tmp_path / "vocabulary.o").open("rb") as file:
        sections = [section for section in ELFFile(file).iter_sections() if section.name.startswith(".rodata")]
        compiled = sum(section["sh_size"] for section in sections)
    sizes = lay_out(tokenizer).sizes
    assert 0 <= compiled - sum(sizes.values()) < ALIGNMENT * (len(sizes) + 4)


def test_a_score_that_boards_cannot_add_exactly_is_refused() -> None:
    tokenizer = form("unigram").ours
    token = next(iter(tokenizer.normal_ids.values()))
    scores = list(tokenizer.scores)
    scores[token] = -1e-200
    with pytest.raises(UserError, match="score -1e-200"):
        lay_out(replace(tokenizer, scores=tuple(scores)))
