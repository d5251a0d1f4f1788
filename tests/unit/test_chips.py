"""Where a chip's internal RAM is, by which a program's bytes are counted: as the makers' headers have it."""

from __future__ import annotations

import pytest

from tinyllm.boards.chips import CHIPS
from tinyllm.boards.description import FOLDER, OWN_PLATFORM, load_board, load_boards

EDGES = {
    # pico-sdk: SRAM_BASE, SRAM_END and SRAM0_BASE; beside them XIP_BASE, XIP_SRAM_BASE and USBCTRL_DPRAM_BASE.
    "rp2040": (
        [0x20000000, 0x2003FFFF, 0x20040000, 0x20041FFF, 0x21000000, 0x2103FFFF],
        [0x10000000, 0x15000000, 0x1FFFFFFF, 0x20042000, 0x20FFFFFF, 0x21040000, 0x50100000],
    ),
    "rp2350": (
        [0x20000000, 0x2007FFFF, 0x20080000, 0x20081FFF],
        [0x10000000, 0x13FFC000, 0x1FFFFFFF, 0x20082000, 0x50100000],
    ),
    # ESP-IDF: SOC_DRAM, SOC_IRAM; beside them SOC_DROM, SOC_IROM, SOC_EXTRAM_DATA and the memories of the RTC.
    "esp32": (
        [0x3FFAE000, 0x3FFFFFFF, 0x40080000, 0x4009FFFF, 0x400A0000, 0x400BFFFF],
        [0x3F400000, 0x3F800000, 0x3FF80000, 0x40000000, 0x4006FFFF, 0x400C0000, 0x400D0000, 0x50000000],
    ),
    "esp32s3": (
        [0x3FC88000, 0x3FCFFFFF, 0x40370000, 0x403DFFFF],
        [0x3C000000, 0x3D000000, 0x3FC87FFF, 0x3FD00000, 0x403E0000, 0x42000000, 0x50000000, 0x600FE000],
    ),
    "esp32c3": (
        [0x3FC80000, 0x3FCDFFFF, 0x4037C000, 0x403DFFFF],
        [0x3C000000, 0x3FC7FFFF, 0x3FCE0000, 0x4037BFFF, 0x403E0000, 0x42000000, 0x50000000],
    ),
    "esp32s2": (
        [0x3FFB0000, 0x3FFFFFFF, 0x40020000, 0x4006FFFF],
        [0x3F000000, 0x3F500000, 0x3FF9E000, 0x3FFAFFFF, 0x40000000, 0x4001FFFF, 0x40070000, 0x40080000, 0x50000000],
    ),
    "esp32c6": ([0x40800000, 0x4087FFFF], [0x40000000, 0x407FFFFF, 0x40880000, 0x42000000, 0x50000000]),
    # ITCM and DTCM; beside them flash at 0x60000000, PSRAM at 0x70000000, and the RAM of the heap.
    "imxrt1062": (
        [0x00000000, 0x0007FFFF, 0x20000000, 0x2007FFFF],
        [0x00080000, 0x1FFFFFFF, 0x20080000, 0x20200000, 0x60000000, 0x70000000],
    ),
    "esp32p4": ([0x4FF00000, 0x4FFBFFFF], [0x40000000, 0x48000000, 0x4FC00000, 0x4FEFFFFF, 0x4FFC0000, 0x50108000]),
}
"""Chip -> addresses in its RAM, and addresses that are not: first and last bytes, and what lies beside them."""


@pytest.mark.parametrize("name", EDGES)
def test_the_ram_of_a_chip_begins_and_ends_where_its_maker_says(name: str) -> None:
    inside, outside = EDGES[name]
    assert [hex(address) for address in inside if not CHIPS[name].is_ram(address)] == []
    assert [hex(address) for address in outside if CHIPS[name].is_ram(address)] == []


@pytest.mark.parametrize("name", ["pico", "pico2"])
def test_a_picos_ram_is_as_large_as_its_board_says(name: str) -> None:
    board = load_board(name, FOLDER)
    first, end = CHIPS[board.chip].ram[0]
    assert board.memory is not None
    assert end - first == board.memory.sram


def test_the_chip_of_every_board_with_a_framework_is_known() -> None:
    chips = {board.chip for board in load_boards(FOLDER) if board.platformio["platform"] != OWN_PLATFORM}
    assert chips == CHIPS.keys() == EDGES.keys()
