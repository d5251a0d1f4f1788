"""Reads PlatformIO's file of a board, if its platform is installed, for the facts of a new board description."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyllm.boards.board import Board, UsbId
from tinyllm.boards.description import FOLDER, load_boards
from tinyllm.boards.families import one_of_each_chip
from tinyllm.boards.new_board import NewBoard
from tinyllm.cache_folder import core_dir
from tinyllm.errors import UserError
from tinyllm.files import read_json_object
from tinyllm.text import one_line, printable

LARGEST_FILE = 64 * 1024
PICOPROBE = UsbId(0x2E8A, 0x00C0)
"""The first USB id in the files of all RP boards: a boot loader's, never a program's."""

OWN_PORT = UsbId(0x303A, 0x1001)
"""The USB-Serial/JTAG of Espressif's chips, which a program with ARDUINO_USB_MODE=1 uses."""
RP_CHIPS = ("rp2040", "rp2350")


@dataclass(frozen=True)
class BoardFile:
    """A board as PlatformIO describes it. A fact is None or () if the file does not say. flags: build.extra_flags."""

    name: str
    mcu: str | None
    clock_mhz: int | None
    flash: int | None
    usb: tuple[UsbId, ...]
    flags: tuple[str, ...]

    @property
    def has_psram(self) -> bool:
        return "-DBOARD_HAS_PSRAM" in self.flags


def installed_board_file(board: str) -> BoardFile | None:
    """The board file of that id from the first installed platform that has one, else None.

    Raises UserError, which names the file, if it is not a board file.
    """
    for path in sorted((core_dir() / "platforms").glob("*/boards")):
        if (path / f"{board}.json").is_file():
            return _read(path / f"{board}.json")
    return None


def from_board_file(name: str, like: Board, platformio: str, file: BoardFile) -> NewBoard:
    """A new board with the facts of PlatformIO's file.

    Raises UserError if it has another chip than `like`, or a flash size for which `like` has no partitions.
    """
    if file.mcu not in (None, like.chip):
        raise UserError(
            f"--from-platformio {platformio}: its chip is {file.mcu}, that of {like.name} is {like.chip}.\n"
            f"{_instead(file.mcu, None) or 'No board of ours has that chip: docs/porting.md.'}"
        )
    flash = like.memory.flash if like.memory else 0
    if file.flash not in (None, flash) and not (like.chip in RP_CHIPS and file.flash > flash):
        raise UserError(
            f"--from-platformio {platformio}: it has {_mb(file.flash or 0)} of flash, {like.name} has "
            f"{_mb(flash)} and its partitions.\n"
            f"{_instead(like.chip, file.flash) or 'No board of ours has as much: write the file (docs/porting.md).'}"
        )
    serial_jtag = [OWN_PORT] if "-DARDUINO_USB_MODE=1" in file.flags and file.usb else []
    return NewBoard(
        name=name,
        like=like,
        description=file.name,
        platformio=platformio,
        usb=tuple(dict.fromkeys([*serial_jtag, *file.usb])),
        flash=file.flash if file.flash != flash else None,
        clock_mhz=file.clock_mhz,
    )


def doubts(new: NewBoard, file: BoardFile | None) -> Iterator[str]:
    """Yield what a person should check before the first build."""
    if new.platformio is None:
        return
    if file is None:
        yield (
            f"PlatformIO has no platform here with the board {new.platformio}, so its flash, USB numbers and clock are "
            f"taken from {new.like.name}. Compare them with the board's."
        )
        return
    if file.has_psram and not (new.like.memory and new.like.memory.psram):
        yield f"It has PSRAM, which {new.like.name} has not: it is not used. Take --like with a board that has some."


def _mb(size: int) -> str:
    return f"{size / 2**20:g} MB"


def _instead(chip: str | None, flash: int | None) -> str:
    """The advice to take another board; "" if there is none."""
    fits = [
        board
        for board in load_boards(FOLDER)
        if board.chip == chip and board.memory and flash in (None, board.memory.flash)
    ]
    return f"Take --like {' or '.join(board.name for board in one_of_each_chip(fits))}." if fits else ""


def _read(path: Path) -> BoardFile:
    facts = read_json_object(path, LARGEST_FILE)
    build, upload = _table(facts, "build"), _table(facts, "upload")
    name, mcu, flags = facts.get("name"), build.get("mcu"), build.get("extra_flags", "")
    words = flags.split() if isinstance(flags, str) else flags
    if not isinstance(name, str) or not isinstance(words, list):
        raise UserError(
            f"{path}: no board file of PlatformIO: expected a name, and build.extra_flags if there are any."
        )
    flash = upload.get("maximum_size")
    return BoardFile(
        name=one_line(printable(name)),
        mcu=mcu if isinstance(mcu, str) else None,
        clock_mhz=_clock_mhz(build.get("f_cpu")),
        flash=flash if isinstance(flash, int) and flash > 0 else None,
        usb=tuple(_usb(build.get("hwids"))),
        flags=tuple(str(word) for word in words),
    )


def _table(facts: dict[str, Any], name: str) -> dict[str, Any]:
    value = facts.get(name)
    return value if isinstance(value, dict) else {}


def _clock_mhz(f_cpu: object) -> int | None:
    """MHz from a text like 240000000L; None for anything else."""
    digits = str(f_cpu).rstrip("uUlL")
    return int(digits) // 1_000_000 if digits.isdecimal() and len(digits) < 12 else None


def _usb(hwids: object) -> list[UsbId]:
    """USB ids from pairs of hexadecimal texts. Leaves out anything else, and PICOPROBE."""
    found = []
    for pair in hwids if isinstance(hwids, list) else ():
        try:
            vid, pid = (int(part, 16) for part in pair)
        except (TypeError, ValueError):
            continue
        if 0 <= vid <= 0xFFFF and 0 <= pid <= 0xFFFF and UsbId(vid, pid) != PICOPROBE:
            found.append(UsbId(vid, pid))
    return found
