"""Descriptions against the platforms' own board files, as the stand-ins have their facts, and the page of boards."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tinyllm.boards.board import Board, UsbId
from tinyllm.boards.description import FOLDER, OWN_PLATFORM, load_board, load_boards
from tinyllm.boards.families import NAMES, families, kinds, one_of_each_chip

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs/boards.md").read_text("utf-8")
REAL = [board for board in load_boards(FOLDER) if board.platformio["platform"] != OWN_PLATFORM]
BRIDGES = {UsbId(0x10C4, 0xEA60), UsbId(0x1A86, 0x7523), UsbId(0x1A86, 0x55D4)}
OWN_PORT = UsbId(0x303A, 0x1001)
"""The USB-Serial/JTAG of Espressif's chips."""

TEENSY_PORT = UsbId(0x16C0, 0x0483)
"""Of Teensy's core with USB_SERIAL (teensy4/usb_desc.h); its platform's file has none."""

PSRAM_TYPES = {2 * 2**20: "qio_qspi", 8 * 2**20: "qio_opi"}
"""By its bytes on the boards that there are with an ESP32-S3; other chips have one type alone."""


def board_path(board: Board) -> Path:
    (found,) = (TESTS / "registry").glob(f"*/boards/{board.platformio['board']}.json")
    return found


def board_file(board: Board) -> dict[str, Any]:
    facts = json.loads(board_path(board).read_text("utf-8"))
    assert isinstance(facts, dict)
    return facts


def flags(board: Board) -> list[str]:
    """Of the platform's file and of the description."""
    told = board_file(board)["build"]["extra_flags"]
    return [*(told.split() if isinstance(told, str) else told), *board.platformio.get("build_flags", "").split()]


@pytest.mark.parametrize("board", REAL, ids=lambda board: board.name)
def test_chip_clock_and_flash_are_those_of_the_platforms_file(board: Board) -> None:
    build, upload = board_file(board)["build"], board_file(board)["upload"]
    assert board.memory is not None
    assert (build["mcu"], int(build["f_cpu"].rstrip("L"))) == (board.chip, (board.clock_mhz or 0) * 1_000_000)
    assert board.memory.flash == int(board.platformio.get("board_upload.maximum_size", upload["maximum_size"]))


@pytest.mark.parametrize("board", REAL, ids=lambda board: board.name)
def test_the_platform_is_pinned_to_a_commit_or_to_the_release_whose_files_were_read(board: Board) -> None:
    platform = board.platformio["platform"]
    _, at, release = platform.rpartition("@")
    if at:
        assert release == json.loads((board_path(board).parents[1] / "platform.json").read_text("utf-8"))["version"]
    else:
        assert re.search(r"#[0-9a-f]{40}$", platform)


@pytest.mark.parametrize("board", REAL, ids=lambda board: board.name)
def test_usb_numbers_are_those_of_the_platforms_file_of_the_chip_or_of_a_bridge(board: Board) -> None:
    told = {UsbId(int(vid, 16), int(pid, 16)) for vid, pid in board_file(board)["build"].get("hwids", [])}
    known = told | BRIDGES | {"esp32": {OWN_PORT}, "imxrt": {TEENSY_PORT}}.get(board.chip[:5], set())
    assert set(board.usb) <= known
    if not set(board.usb) & BRIDGES:
        serial_on_usb = "-DARDUINO_USB_CDC_ON_BOOT=1" in flags(board) or board.chip.startswith(("rp2", "imxrt"))
        assert serial_on_usb, "Serial is a pin, and nobody would hear it"


@pytest.mark.parametrize(
    "board", [board for board in REAL if board.memory and board.memory.psram], ids=lambda b: b.name
)
def test_a_board_with_psram_says_so_to_the_core_with_its_type(board: Board) -> None:
    assert board.memory is not None
    if board.chip == "rp2350":
        assert board_file(board)["upload"]["psram_length"] == board.memory.psram
        return
    build = board_file(board)["build"]
    kind = board.platformio.get("board_build.arduino.memory_type", build.get("arduino", {}).get("memory_type"))
    assert kind == (PSRAM_TYPES[board.memory.psram] if board.chip == "esp32s3" else None)
    assert "-DBOARD_HAS_PSRAM" in flags(board)


def test_the_page_of_boards_has_a_row_for_each_by_family() -> None:
    rows = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if re.match(r"\| `[\w-]+` \| ", line)]
    assert [row[0].strip("`") for row in rows] == [
        board.name for boards in families(load_boards(FOLDER)).values() for board in boards
    ]
    for name, chip, *sizes, platformio in rows[:-1]:
        board = load_board(name.strip("`"), FOLDER)
        memory = board.memory
        assert memory is not None
        assert (chip, platformio.strip("`")) == (NAMES[board.chip], board.platformio["board"])
        assert sizes == [size(part) for part in (memory.flash, memory.psram, memory.app, memory.static)]


def size(number: int) -> str:
    if not number:
        return "-"
    return f"{number // 2**20} MB" if number % 2**20 == 0 else f"{number // 1024:,} KB"


def test_boards_that_no_model_can_tell_apart_are_one_kind() -> None:
    found = {group[0].name: [board.name for board in group[1:]] for group in kinds(load_boards(FOLDER))}
    assert found["pico"] == ["xiao-rp2040"]
    assert found["esp32s3-n8r8"] == ["xiao-esp32s3"]
    assert found["pico-w"] == [], "its radio takes memory"


def test_one_board_of_each_chip_is_the_first_which_has_a_plain_name() -> None:
    names = [board.name for board in one_of_each_chip(REAL)]
    assert names == ["esp32", "esp32c3", "esp32c6", "esp32p4", "esp32s2", "esp32s3", "pico", "pico2", "teensy41"]


def test_a_family_of_a_users_own_chip_comes_last_by_its_name() -> None:
    boards = load_boards(FOLDER)
    assert list(families([replace(boards[0], chip="nrf52"), *boards]))[-2:] == ["this computer", "nrf52"]
