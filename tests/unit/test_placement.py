"""Which matrices are copied to RAM when a board starts."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tests.pipeline.conftest import BASE, random_model
from tinyllm.boards.description import load_board
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.emit.project import emit_project
from tinyllm.codegen.kernels.choose import kernel_set_of
from tinyllm.codegen.kernels.generic import GENERIC
from tinyllm.codegen.memory.placement import LEFT_FREE, copies, tables
from tinyllm.codegen.memory.plan import memory_needs, room
from tinyllm.codegen.memory.traffic import traffic
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer

SHARED = quantize(random_model(replace(BASE, schedule=(0, 1, 1), tied_head=False)))


def test_what_is_read_most_often_for_its_bytes_comes_first() -> None:
    everything = copies(SHARED, GENERIC, 1 << 30)
    names = list(everything)
    assert names[:7] == [table.name for table in tables(SHARED, GENERIC) if table.name.startswith("block_1")]
    assert "head" in names
    assert "embedding" not in names, "a token reads one row of it"


@pytest.mark.parametrize("spare", [0, 999, 4_000, 20_000])
def test_copies_leave_ram_free(spare: int) -> None:
    chosen = copies(SHARED, GENERIC, LEFT_FREE + spare)
    assert sum(chosen.values()) <= spare
    sizes = {table.name: table.bytes for table in tables(SHARED, GENERIC)}
    assert all(chosen[name] == sizes[name] for name in chosen)
    left = spare - sum(chosen.values())
    assert all(sizes[name] > left for name in copies(SHARED, GENERIC, 1 << 30) if name not in chosen)


def test_a_tied_embedding_is_read_as_a_whole() -> None:
    tied = quantize(random_model(BASE))
    assert {table.name: table.reads for table in tables(tied, GENERIC)}["embedding"] == 1


def test_a_copied_table_is_a_variable_and_its_bytes_are_no_longer_read_from_flash(stories_tokenizer: Tokenizer) -> None:
    model, board = quantize(random_model(BASE)), load_board("pico2")
    needs = memory_needs(model, stories_tokenizer, board)
    space = room(board)
    assert space is not None and needs.total.ram + sum(needs.copies.values()) + LEFT_FREE <= space.ram
    weights = emit_project(model, stories_tokenizer, board, needs).files["src/weights.c"]
    emitted = {table.name for table in tables(model, kernel_set_of(board))}
    assert set(needs.copies) == emitted
    for name in emitted:
        (line,) = (line for line in weights.splitlines() if f" {name}_codes TL_ALIGNED" in line)
        assert line.startswith("static struct")
    moved = traffic(model, needs, 0, kernel_set_of(board)).by_memory
    assert moved["flash"] < moved["SRAM"]
    without = emit_project(model, stories_tokenizer, board, replace(needs, copies={})).files["src/weights.c"]
    assert re.sub(r"static const (struct \{ uint8_t)", r"static \1", without) == weights


def test_this_computer_copies_nothing(stories_tokenizer: Tokenizer) -> None:
    assert memory_needs(SHARED, stories_tokenizer, load_board("host")).copies == {}
