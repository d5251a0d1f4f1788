"""What fit counts from headers is to the byte what the linker puts into the image, and its bounds are bounds."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from tests.conftest import STORY_MODEL
from tests.pipeline.emulated_boards import CONTEXT, need
from tests.pipeline.real_boards import ONE_OF_EACH_TWIN, builds
from tinyllm.boards.chips import CHIPS
from tinyllm.boards.description import FOLDER, HOST, Board, load_board
from tinyllm.codegen.arithmetic.int4 import round_to_nearest
from tinyllm.codegen.arithmetic.integer_model import IntegerModel
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.emit.project import Project, emit_project
from tinyllm.codegen.memory.fit import check_fits
from tinyllm.codegen.memory.parts import memory_parts
from tinyllm.codegen.memory.plan import FLASH_BESIDE, PARTITION
from tinyllm.files import WEIGHTS as WEIGHTS_FILE
from tinyllm.host.build.build import EMULATED, compile_project
from tinyllm.host.build.program import Program
from tinyllm.host.fit.fits import Fit, fit_board
from tinyllm.host.fit.weights import FORMATS
from tinyllm.host.model.budgets import MATRICES
from tinyllm.host.model.kv_cache import KV_CACHES
from tinyllm.host.model.load import LoadOptions, load_model
from tinyllm.host.model.sketch import read_sketch
from tinyllm.host.prove.counted import Case

MODEL = STORY_MODEL
OPTIONS = LoadOptions(context=CONTEXT)
WEIGHTS = re.compile(r"(embedding|head|final_norm|block_\d+_\w+)_(codes|mantissa)|block_\d+_b[qkvo]|k_shift")
VOCABULARY = re.compile(
    "tl_(piece_(bytes|group|rank|score)|slot_token|token_slot|merge_(left|base|rank)|bare_token|user_defined"
    "|byte_token|added_(bytes|token))"
)
PORTS_OWN = 2048
"""Of the virtual Xtensa boards' RAM, which their files leave out of `static`: a stack for exceptions."""
ELEMENT_TABLES = {"tl_softmax_table": "softmax", "tl_sigmoid_table": "sigmoid"}

REAL = {each.id: (each, load_board(each.id, FOLDER)) for each in builds(ONE_OF_EACH_TWIN)}
VIRTUAL = [each for each, board in REAL.values() if board.virtual and not (board.memory and board.memory.psram)]
BESIDE = [("esp32", "int8"), ("pico2", "int4"), ("esp32s3-n16r8", "mixed")]
"""A format each; the sweep has every virtual board."""
TWINS = [name for name, (_, board) in REAL.items() if board.virtual and board.virtual.weights]
OTHERS = [(name, "int8") for name in TWINS if (name, "int8") not in BESIDE]
CASES = [
    (HOST, "int8", None),
    *(pytest.param(each.id, "int8", None, marks=each.marks) for each in VIRTUAL),
    *(("pico2", each, None) for each in FORMATS[1:]),
    *(pytest.param(HOST, each, None, marks=pytest.mark.sweep) for each in FORMATS[1:]),
    *(("pico2", "int8", cache) for cache in KV_CACHES if cache != "int8"),
]


def target(name: str) -> Board:
    board = load_board(name, FOLDER)
    if name == HOST:
        return board
    need(Case(name, 1).compiler().split()[0])
    return board.twin()


def told(board: Board, weights: str, options: LoadOptions) -> Fit:
    """By fit, which reads headers alone."""
    return fit_board(read_sketch(MODEL, options), board).formats[weights]


def project(board: Board, outline: IntegerModel, options: LoadOptions) -> Project:
    """The bundled model with matrices as wide as the outline's, as a build writes it."""
    loaded = load_model(str(MODEL), options)
    int4 = {
        (index, name): round_to_nearest(getattr(loaded.model.blocks[index], name))
        for index, block in enumerate(outline.blocks)
        for name in MATRICES
        if getattr(block, name).bits == 4
    }
    needs = check_fits(outline, loaded.tokenizer, board, options.weights_in)
    return emit_project(quantize(loaded.model, CONTEXT, int4=int4), loaded.tokenizer, board, needs)


def symbols(program: Path) -> dict[str, tuple[int, int]]:
    """Address and bytes of each variable and constant."""
    with program.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        assert isinstance(table, SymbolTableSection)
        found = [each for each in table.iter_symbols() if each["st_info"]["type"] == "STT_OBJECT"]
        return {each.name: (each["st_value"], each["st_size"]) for each in found}


def assert_within_bounds(built: Program, fit: Fit, board: Board) -> None:
    """Of the whole program, which has code and variables that are not counted."""
    elsewhere = fit.needs.placed.hot_code_bytes - fit.needs.placed.hot_bytes  # functions in RAM that is for code alone
    elsewhere += PORTS_OWN if "xtensa" in board.ports else 0
    assert built.flash is not None and built.flash <= fit.needs.total.flash
    assert built.ram is not None and built.ram <= fit.needs.ram_with_copies + elsewhere


@pytest.mark.parametrize(("name", "weights", "cache"), CASES)
def test_tables_state_and_copies_are_in_the_image_to_the_byte(name: str, weights: str, cache: str | None) -> None:
    board, options = target(name), replace(OPTIONS, kv_cache=cache)
    fit = told(board, weights, options)
    built = compile_project(project(board, fit.model, options))
    seen, plan = symbols(built.program), fit.needs.plan

    def total(pattern: re.Pattern[str]) -> int:
        return sum(size for symbol, (_, size) in seen.items() if pattern.fullmatch(symbol))

    assert total(WEIGHTS) == plan.flash["weights"]
    assert total(VOCABULARY) == plan.flash["vocabulary"]
    assert seen["tl_cache"][1] == plan.ram["kv_cache"]
    assert seen["tl_cache"][1] + seen["tl_state"][1] == plan.state_bytes
    if board.memory is None:
        return
    chip = CHIPS[EMULATED.get(board.platformio["board"], board.chip)]
    copied = {
        ELEMENT_TABLES.get(symbol, symbol): size
        for symbol, (address, size) in seen.items()
        if (WEIGHTS.fullmatch(symbol) or symbol in ELEMENT_TABLES) and chip.is_ram(address)
    }
    assert set(copied) == set(fit.needs.placed.tables)
    assert all(-(-copied[table] // 4) * 4 == -(-size // 4) * 4 for table, size in fit.needs.placed.tables.items())
    assert_within_bounds(built, fit, board)
    parts = {each.memory: each for each in memory_parts(fit.needs, board)}
    assert parts["flash"].taken == fit.needs.total.flash
    assert parts["SRAM"].taken == fit.needs.ram_with_copies
    assert parts["SRAM"].free >= 0 == parts["SRAM"].lacking


@pytest.mark.parametrize(
    ("name", "weights"), [*BESIDE, *(pytest.param(*each, marks=pytest.mark.sweep) for each in OTHERS)]
)
def test_weights_beside_the_program_are_as_large_as_fit_says(name: str, weights: str) -> None:
    """Of fit, of what a build says before it compiles, and of the image that is uploaded."""
    board, options = target(name), replace(OPTIONS, weights_in=PARTITION)
    fit = told(board, weights, options)
    made = project(board, fit.model, options)
    assert made.needs == fit.needs
    built = compile_project(made)
    parts = {each.memory: each for each in memory_parts(fit.needs, board)}
    beside = parts[FLASH_BESIDE]
    assert beside.parts == {"weights": built.program.with_name(WEIGHTS_FILE).stat().st_size}
    assert board.weights is not None and (beside.bytes, beside.lacking) == (board.weights.size, 0)
    assert parts["flash"].taken == fit.needs.total.flash
    assert "weights" not in parts["flash"].parts and "index" in parts["flash"].parts
    seen = symbols(built.program)
    assert not [symbol for symbol in seen if re.fullmatch(r"block_\d+_w\w+_codes", symbol)]
    assert seen["tl_cache"][1] + seen["tl_state"][1] == fit.needs.plan.state_bytes
    assert_within_bounds(built, fit, board)


def test_a_wrong_context_would_be_noticed() -> None:
    """The state of the image is not that of another context, so the test above can fail."""
    board = load_board(HOST, FOLDER)
    fit = told(board, "int8", OPTIONS)
    other = fit_board(read_sketch(MODEL, replace(OPTIONS, context=CONTEXT + 8)), board).formats["int8"]
    assert other.needs.plan.state_bytes != fit.needs.plan.state_bytes
