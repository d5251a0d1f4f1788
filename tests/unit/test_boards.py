"""Board descriptions: what ships is readable, and a wrong file says which field is wrong."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from tinyllm.boards.errors import UserError
from tinyllm.boards.loader import Board, Memory, UsbId, board_names, load_board, load_boards, read_board

PICO = """\
description = "A Pico"
chip = "rp2040"
instruction_set = "armv6m"
cores = 2
clock_mhz = 133
ports = ["arduino"]

[memory]
flash = 2097152
sram = 270336

[[usb]]
vid = 0x2e8a
pid = 0x000a

[platformio]
platform = "raspberrypi"
board = "pico"
framework = "arduino"
"""


@pytest.fixture
def pico(tmp_path: Path) -> Path:
    path = tmp_path / "pico.toml"
    path.write_text(PICO)
    return path


def test_every_board_that_ships_can_be_read() -> None:
    assert [board.name for board in load_boards()] == board_names()


def test_everyone_has_the_host_board() -> None:
    host = load_board("host")
    assert (host.instruction_set, host.memory, host.clock_mhz, host.usb) == ("generic", None, None, ())


def test_a_board_is_what_its_file_says(pico: Path) -> None:
    board = read_board(pico)
    assert board == Board(
        name="pico",
        description="A Pico",
        chip="rp2040",
        instruction_set="armv6m",
        cores=2,
        clock_mhz=133,
        memory=Memory(flash=2097152, sram=270336, psram=0),
        usb=(UsbId(0x2E8A, 0x000A),),
        platformio=board.platformio,
        ports=("arduino",),
    )
    assert dict(board.platformio) == {"platform": "raspberrypi", "board": "pico", "framework": "arduino"}


def test_a_board_cannot_be_changed_after_reading(pico: Path) -> None:
    board = read_board(pico)
    with pytest.raises(FrozenInstanceError):
        board.cores = 3  # type: ignore[misc]
    with pytest.raises(TypeError):
        board.platformio["board"] = "other"  # type: ignore[index]


@pytest.mark.parametrize(
    ("was", "becomes", "complaint"),
    [
        ('chip = "rp2040"\n', "", "chip is missing, expected a text"),
        ("cores = 2", "cores = 0", "cores is 0, expected 1 to 64"),
        ("cores = 2", 'cores = "two"', "cores is 'two', expected a whole number"),
        ("cores = 2", "cores = true", "cores is True, expected a whole number"),
        ('"armv6m"', '"6502"', "instruction_set is '6502', expected one of generic"),
        ("clock_mhz = 133", "clock = 133", "clock is unknown, expected one of description"),
        ("sram = 270336\n", "", "memory.sram is missing"),
        ("flash = 2097152", "flash = -1", "memory.flash is -1"),
        ("vid = 0x2e8a", "vid = 0x12e8a", "usb[0].vid is 77450, expected 0 to 65535"),
        ("[[usb]]", "[usb]", "usb is {'vid': 11914, 'pid': 10}, expected a list"),
        ('board = "pico"\n', "", "platformio.board is missing"),
        ('framework = "arduino"', "framework = 1", "platformio.framework is 1, expected a text"),
        ('ports = ["arduino"]\n', "", "ports is missing, expected a list"),
        ('"arduino"]', "7]", "ports is [7], expected a list of texts"),
        ("cores = 2", "cores = ", "not a readable TOML file"),
    ],
)
def test_a_wrong_file_is_named_with_the_field_that_is_wrong(pico: Path, was: str, becomes: str, complaint: str) -> None:
    assert was in PICO
    pico.write_text(PICO.replace(was, becomes))
    with pytest.raises(UserError) as error:
        read_board(pico)
    assert str(pico) in str(error.value)
    assert complaint in str(error.value)


VIRTUAL = """
[virtual]
emulator = "unicorn"
ports = ["baremetal", "uart"]

[virtual.platformio]
platform = "tinyllm"
board = "pico-virtual"
"""


def test_a_virtual_twin_is_the_same_board_built_for_an_emulator(pico: Path) -> None:
    pico.write_text(PICO + VIRTUAL)
    board = read_board(pico)
    twin = board.twin()
    assert (twin.name, twin.emulator, twin.ports) == ("pico-virtual", "unicorn", ("baremetal", "uart"))
    assert dict(twin.platformio) == {"platform": "tinyllm", "board": "pico-virtual"}
    assert (twin.memory, twin.cores, twin.instruction_set) == (board.memory, board.cores, board.instruction_set)


def test_a_board_without_a_twin_says_so(pico: Path) -> None:
    with pytest.raises(UserError, match="board pico has no virtual twin"):
        read_board(pico).twin()


@pytest.mark.parametrize(
    ("was", "becomes", "complaint"),
    [
        ('"unicorn"', '"dosbox"', "virtual.emulator is 'dosbox', expected one of unicorn, qemu"),
        ("emulator = ", "emulater = ", "virtual.emulater is unknown"),
        ('platform = "tinyllm"\nboard = "pico-virtual"', 'board = "x"', "virtual.platformio.platform is missing"),
    ],
)
def test_a_wrong_twin_is_named_with_the_field_that_is_wrong(pico: Path, was: str, becomes: str, complaint: str) -> None:
    assert was in VIRTUAL
    pico.write_text(PICO + VIRTUAL.replace(was, becomes))
    with pytest.raises(UserError) as error:
        read_board(pico)
    assert complaint in str(error.value)


def test_bytes_that_are_no_text_are_refused(pico: Path) -> None:
    pico.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"pico\.toml: not a readable TOML file"):
        read_board(pico)


def test_an_unknown_board_suggests_the_near_name(pico: Path) -> None:
    with pytest.raises(UserError, match=r"unknown board 'pic0'\. Did you mean pico\?"):
        load_board("pic0", pico.parent)


def test_a_name_like_no_other_lists_the_boards(pico: Path) -> None:
    with pytest.raises(UserError, match=r"Known boards: pico\."):
        load_board("commodore64", pico.parent)


@pytest.mark.parametrize("name", ["", "../boards/host", "/etc/passwd", "host\n"])
def test_a_name_cannot_leave_the_folder(name: str) -> None:
    with pytest.raises(UserError, match="unknown board"):
        load_board(name)
