"""What is copied to RAM when a board starts."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tests.pipeline.conftest import BASE, random_model
from tinyllm.boards.board import Bandwidth
from tinyllm.boards.chips import CHIPS, HotCode
from tinyllm.boards.description import load_board
from tinyllm.codegen.arithmetic.float_model import Model
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.emit.project import emit_project
from tinyllm.codegen.kernels.choose import kernel_set_of
from tinyllm.codegen.kernels.generic import GENERIC
from tinyllm.codegen.memory.placement import ELEMENT_TABLES, SLACK, Placement, place, tables
from tinyllm.codegen.memory.plan import memory_needs, room
from tinyllm.codegen.memory.traffic import traffic
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer

SHARED = quantize(random_model(replace(BASE, schedule=(0, 1, 1), tied_head=False)))


def test_what_is_read_most_often_for_its_bytes_comes_first() -> None:
    everything = place(SHARED, GENERIC, 1 << 30, None).tables
    names = list(everything)
    assert names[:2] == ["softmax", "sigmoid"]
    shared = [table for table in tables(SHARED, GENERIC) if table.name.startswith("block_1")]
    vectors = [table.name for table in shared if not table.matrix]
    matrices = [table.name for table in shared if table.matrix]
    assert names[2 : 2 + len(shared)] == vectors + matrices
    assert "head_codes" in names
    assert "embedding_codes" not in names, "a token reads one row of it"


@pytest.mark.parametrize("spare", [0, 999, 4_000, 20_000])
def test_copies_take_no_more_than_there_is(spare: int) -> None:
    chosen = place(SHARED, GENERIC, spare, None).tables
    assert sum(chosen.values()) <= spare
    sizes = {table.name: table.bytes for table in tables(SHARED, GENERIC)} | ELEMENT_TABLES
    assert all(chosen[name] == sizes[name] for name in chosen)
    left = spare - sum(chosen.values())
    assert all(sizes[name] > left for name in place(SHARED, GENERIC, 1 << 30, None).tables if name not in chosen)


def test_hot_code_comes_before_all_tables() -> None:
    hot = HotCode(".time_critical.tinyllm")
    assert place(SHARED, GENERIC, GENERIC.hot_bytes.int8, hot) == Placement(hot, GENERIC.hot_bytes.int8)
    without = place(SHARED, GENERIC, GENERIC.hot_bytes.int8 - 1, hot)
    assert (without.hot_code, without.hot_bytes) == (None, 0)
    assert without.tables, "what is left goes to tables"


def test_hot_code_in_a_ram_of_its_own_takes_none_of_the_variables() -> None:
    hot = HotCode(".iram1.tinyllm", shared=False)
    placed = place(SHARED, GENERIC, 0, hot)
    assert placed == Placement(hot, GENERIC.hot_bytes.int8)
    assert placed.ram == 0


@pytest.mark.parametrize(("board", "section"), [("pico", ".time_critical.tinyllm"), ("esp32c3", ".iram1.tinyllm")])
def test_a_project_names_the_section_of_its_hot_code(board: str, section: str, stories_tokenizer: Tokenizer) -> None:
    model, described = quantize(random_model(BASE)), load_board(board)
    needs = memory_needs(model, stories_tokenizer, described)
    ini = emit_project(model, stories_tokenizer, described, needs).files["platformio.ini"]
    assert f" -DTL_HOT_SECTION={section} " in ini
    ini = emit_project(model, stories_tokenizer, described, replace(needs, placed=Placement())).files["platformio.ini"]
    assert "TL_HOT_SECTION" not in ini


def test_a_chip_whose_code_has_a_cache_of_its_own_keeps_its_ram_for_tables() -> None:
    assert CHIPS["esp32s3"].hot_code is None


def test_a_tied_embedding_is_read_as_a_whole() -> None:
    tied = quantize(random_model(BASE))
    assert {table.name: table.reads for table in tables(tied, GENERIC)}["embedding_codes"] == 1


def test_a_copied_table_is_a_variable_and_its_bytes_are_no_longer_read_from_flash(stories_tokenizer: Tokenizer) -> None:
    model, board = quantize(random_model(BASE)), load_board("pico2")
    needs = memory_needs(model, stories_tokenizer, board)
    space = room(board)
    assert space is not None and needs.ram_with_copies + CHIPS[board.chip].heap <= space.ram
    files = emit_project(model, stories_tokenizer, board, needs).files
    weights = files["src/weights.c"]
    for name in ELEMENT_TABLES:
        assert f"\nuint16_t tl_{name}_table[" in files["src/tables.c"]
        assert f"\nextern uint16_t tl_{name}_table[" in files["src/tables.h"]
    emitted = {table.name for table in tables(model, kernel_set_of(board))}
    assert needs.placed.tables.keys() == emitted | ELEMENT_TABLES.keys()
    declared = re.findall(r"^static (const TL_TABLE )?.*? \w+(?:\[\d+\]| TL_ALIGNED) = \{$", weights, re.M)
    assert declared == [""] * len(emitted)
    moved = traffic(model, needs, 0, kernel_set_of(board)).by_memory
    row, shifts = model.config.dim + 2, model.k_shift.size
    assert moved["flash"] == row + shifts
    without = emit_project(model, stories_tokenizer, board, replace(needs, placed=Placement())).files["src/weights.c"]
    assert re.sub(r"^static const TL_TABLE ", "static ", without, flags=re.M) == weights


def test_what_ram_has_no_room_for_goes_to_psram_if_there_is_some() -> None:
    everything = place(SHARED, GENERIC, 1 << 30, None)
    assert not everything.psram and not everything.pointers
    none = place(SHARED, GENERIC, 0, None, faster=1 << 30)
    matrices = {table.name: table.bytes for table in tables(SHARED, GENERIC) if table.matrix and table.reads}
    assert none.tables == {} and none.psram == matrices
    # Two stored blocks of 7 matrices and 2 gains, an embedding and a head.
    assert none.pointers == 2 * (7 * 32 + 2 * 8) + 2 * 32
    some = place(SHARED, GENERIC, 6_000, None, faster=sum(matrices.values()) // 2)
    assert some.ram <= 6_000
    assert not some.tables.keys() & some.psram.keys()
    assert 0 < sum(some.psram.values()) <= sum(matrices.values()) // 2


@pytest.mark.parametrize(("flash", "psram", "moved"), [(30, 72, True), (30, 20, False), (30, None, False)])
def test_weights_move_to_psram_if_the_board_reads_them_faster_there(
    flash: int, psram: int | None, moved: bool, stories: Model, stories_tokenizer: Tokenizer
) -> None:
    model, board = quantize(stories, 512), load_board("esp32s3-n16r8")
    board = replace(board, bandwidth=Bandwidth(flash=flash, sram=None, psram=psram, source="a test"))
    needs = memory_needs(model, stories_tokenizer, board)
    assert needs.cache_in == needs.state_in == "RAM"
    assert bool(needs.placed.psram) == moved
    files = emit_project(model, stories_tokenizer, board, needs).files
    assert ("tl_weights_move" in files["src/weights.c"]) == ("TL_WEIGHTS_IN_PSRAM" in files["src/model.h"]) == moved
    bytes_read = traffic(model, needs, 0, kernel_set_of(board)).by_memory
    without = traffic(model, replace(needs, placed=replace(needs.placed, psram={})), 0, kernel_set_of(board)).by_memory
    read = sum(needs.placed.psram.values()) - SLACK * len(needs.placed.psram)
    assert bytes_read.get("PSRAM", 0) == without["flash"] - bytes_read["flash"] == read


def test_this_computer_copies_nothing(stories_tokenizer: Tokenizer) -> None:
    assert memory_needs(SHARED, stories_tokenizer, load_board("host")).placed == Placement()
