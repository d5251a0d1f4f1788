"""What a token runs, run from RAM: its bytes in the compilers' objects, and where the virtual boards fetch it from."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.boards.conftest import missing
from tests.conftest import skip_unless_ci
from tests.pipeline.conftest import nearest
from tests.pipeline.real_boards import CROSS, ONE_OF_EACH_TWIN, compile_to, include, write
from tinyllm.boards.chips import CHIPS
from tinyllm.boards.description import FOLDER, load_board
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.kernels.choose import kernel_set_of
from tinyllm.host.build.build import build
from tinyllm.host.connect.attach import BoardRequest, attach
from tinyllm.host.model.load import LoadOptions, load_model
from tinyllm.host.output import Output
from tinyllm.host.prove.benchmark import Bench
from tinyllm.host.virtual.elf import read_elf
from tinyllm.host.virtual.parts import Part

CONTEXT = 128
BOARDS = [name for name in ONE_OF_EACH_TWIN if (chip := CHIPS[load_board(name, FOLDER).chip]) and chip.hot_code]
SLACK = 1536
"""How far a kernel set's bound may be above what the compiler here makes."""
FROM_FLASH = 0.02
"""Part of a token's instructions that may come from flash: gcc's and the C library's, which the chips' own link scripts
and ROMs place."""


OFTEN = ("pico2", "esp32c3")
"""A chip that copies hot code with the variables, and one with RAM for code; the others are a sweep."""
EACH = [pytest.param(name, marks=[] if name in OFTEN else pytest.mark.sweep) for name in BOARDS]


@pytest.mark.parametrize(
    ("bits", "cache_bits"),
    [pytest.param(8, 8, marks=pytest.mark.sweep), pytest.param(4, 8, marks=pytest.mark.sweep), (4, 4)],
    ids=["int8", "int4", "all"],
)
@pytest.mark.parametrize("name", EACH)
def test_the_planned_bytes_bound_the_section_in_the_objects(
    name: str, bits: int, cache_bits: int, tmp_path: Path
) -> None:
    board = load_board(name, FOLDER)
    loaded = load_model(None)
    config = replace(loaded.model.config, key_bits=cache_bits, value_bits=cache_bits)
    int4 = nearest(loaded.model) if bits == 4 else None
    project = write(quantize(replace(loaded.model, config=config), CONTEXT, int4), loaded.tokenizer, board, tmp_path)
    hot = CHIPS[board.chip].hot_code
    assert hot
    flags = ["-std=c99", "-O2", f"-DTL_CORES={board.cores}", f"-DTL_HOT_SECTION={hot.section}", *include(project)]
    objects = [(source, tmp_path / f"{source.stem}.o") for source in (project / "src").rglob("*.c")]
    for source, target in objects:
        compile_to([*CROSS[board.chip].tool("gcc"), *flags, "-c", str(source), "-o", str(target)])
    size = [CROSS[board.chip].tool("size")[0], "-A", *(target for _, target in objects)]
    told = subprocess.run(size, capture_output=True, text=True, check=True).stdout
    found = sum(int(line.split()[1]) for line in told.splitlines() if line.startswith(hot.section))
    bound = kernel_set_of(board).hot_bytes.of(int4 is not None, cache_bits == 4)
    assert found <= bound <= found + SLACK


@pytest.mark.parametrize("name", EACH)
def test_a_virtual_board_runs_a_token_from_ram_on_all_its_cores(name: str) -> None:
    board, request = load_board(name, FOLDER), BoardRequest(None, LoadOptions(context=CONTEXT), name, None, True, True)
    if lacking := missing(board, True, None, None):
        skip_unless_ci(lacking)
    with attach(request, Output()) as connection:
        link = connection.open()
        try:
            *_, place = Bench(connection, link).run(tokens=1, positions=[CONTEXT // 2]).places
        finally:
            link.close()
    program = build(load_model(None), board.twin(), CONTEXT).program  # the same, from the cache
    chip = CHIPS[board.chip]
    in_ram = {function for address, _, function in read_elf(program).functions if chip.is_ram(address)}
    for core in place.counts:
        executed = [
            (function, count) for part in core for function, count in core[part].items() if part != Part.SAMPLING
        ]
        flash = {function: count for function, count in executed if function not in in_ram}
        assert not {"tl_session_step", "tl_console_poll"} & flash.keys(), "the count ends where a token does"
        assert sum(flash.values()) <= FROM_FLASH * sum(count for _, count in executed), flash
