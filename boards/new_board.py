"""Writes the description of a new board: `like` a known board, with the fields that differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinyllm.boards.board import HOST, TWIN, Board, UsbId
from tinyllm.boards.description import board_files, find_board, new_board_folder
from tinyllm.boards.reader import NAME, read_board
from tinyllm.errors import UserError
from tinyllm.files import write_file
from tinyllm.text import shown

RP_EEPROM = 4096
"""Bytes at the end of the flash that Arduino-Pico keeps. A program may have the rest."""


@dataclass(frozen=True)
class NewBoard:
    """The new board's fields. usb: () keeps the other board's; platformio, flash, clock_mhz: None keeps the other's."""

    name: str
    like: Board
    description: str
    platformio: str | None = None
    usb: Sequence[UsbId] = ()
    flash: int | None = None
    clock_mhz: int | None = None


def base_of(name: str, like: str) -> Board:
    """Find the board `like`, which the new board `name` is based on.

    Raises UserError if no board can have that name or one already has it, and for a `like` that is unknown or has no
    memory.
    """
    if not NAME.fullmatch(name) or name == HOST or name.endswith(TWIN):
        raise UserError(
            f"--new {shown(name)}: no name for a board; expected letters, digits, - and _, at most 31, not {HOST} and "
            f"without {TWIN} at the end."
        )
    files = board_files(may_be_empty=True)
    if name in files:
        raise UserError(
            f"--new {name}: there is a board of that name, {files[name]}.\nTake another name, or change that file."
        )
    board = find_board(like, files)
    if board.memory is None:
        raise UserError(f"--like {like}: it has no memory of its own to take over; name a board with a chip.")
    return board


def write_board(new: NewBoard) -> Path:
    """Write the description into the user's folder of boards, and return its path.

    Raises UserError if the file exists or cannot be written. Raises UserError, and removes the file, if it is no valid
    board.
    """
    path = new_board_folder() / f"{new.name}.toml"
    if path.exists():
        raise UserError(f"{path} is there already; take another name, or move it away.")
    try:
        write_file(path, "\n".join(_lines(new)) + "\n")
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{path}: cannot be written ({reason}). Name another folder with --boards-dir.") from None
    try:
        read_board(path)
    except UserError:
        path.unlink()
        raise
    return path


def _lines(new: NewBoard) -> Iterator[str]:
    """The lines of the file. It has a table only if something in the table differs."""
    yield f"# Like {new.like.name}; what is not here is as there. docs/porting.md has the fields."
    yield ""
    yield f'like = "{new.like.name}"'
    yield f"description = {json.dumps(new.description, ensure_ascii=False)}"
    if new.clock_mhz not in (None, new.like.clock_mhz):
        yield f"clock_mhz = {new.clock_mhz}"
    if new.flash is not None:
        yield from _larger_flash(new.like, new.flash)
    for usb in new.usb:
        yield from ("", "[[usb]]", f"vid = {usb.vid:#06x}", f"pid = {usb.pid:#06x}")
    if new.like.actions is not None:
        # On this board, the pins of the other board may be wired to anything.
        yield from ("", "# Pins of this board for calls, docs/actions.md: led_pin, servo_pin, pins, ...", "[actions]")
    if new.platformio is not None:
        yield from ("", "[platformio]", f'board = "{new.platformio}"')


def _larger_flash(like: Board, flash: int) -> Iterator[str]:
    """The tables [memory] and [weights] of an RP board with more flash. Programs may use all of it but RP_EEPROM."""
    memory, weights, app = like.memory, like.weights, flash - RP_EEPROM
    assert memory is not None
    yield from ("", "[memory]", f"flash = {flash:_}", f"app = {app:_}")
    yield from (f"sram = {memory.sram:_}", f"static = {memory.static:_}")
    if weights is not None:
        yield from ("", "[weights]", f"offset = {weights.offset:_}", f"size = {app - weights.offset:_}")
        yield f"program = {weights.program:_}"
        if weights.address is not None:
            yield f"address = {weights.address:#x}"
