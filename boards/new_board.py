"""The text of a new board's description: like one that is there, with what differs."""

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
"""Bytes at the end of the flash that Arduino-Pico keeps: a program has the rest."""


@dataclass(frozen=True)
class NewBoard:
    """What is to be written. usb: () for that of the other board. flash, clock_mhz: None for those of the other."""

    name: str
    like: Board
    description: str
    platformio: str | None = None
    usb: Sequence[UsbId] = ()
    flash: int | None = None
    clock_mhz: int | None = None


def base_of(name: str, like: str) -> Board:
    """The board that a new one is to be like.

    Raises UserError for a name that no board can have, for one that a board has, and for an unknown `like`.
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
    """Write the description into the user's folder of boards.

    Raises UserError if the folder cannot be written, and if what would be written is no board; then nothing is there.
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
    """Of the file: a table only if something in it differs."""
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
        # Another board's pins may be wired to anything here.
        yield from ("", "# Pins of this board for calls, docs/actions.md: led_pin, servo_pin, pins, ...", "[actions]")
    if new.platformio is not None:
        yield from ("", "[platformio]", f'board = "{new.platformio}"')


def _larger_flash(like: Board, flash: int) -> Iterator[str]:
    """The tables [memory] and [weights] of an RP board with more flash: a program has all of it but the EEPROM."""
    memory, weights, app = like.memory, like.weights, flash - RP_EEPROM
    assert memory is not None
    yield from ("", "[memory]", f"flash = {flash:_}", f"app = {app:_}")
    yield from (f"sram = {memory.sram:_}", f"static = {memory.static:_}")
    if weights is not None:
        yield from ("", "[weights]", f"offset = {weights.offset:_}", f"size = {app - weights.offset:_}")
        yield f"program = {weights.program:_}"
        if weights.address is not None:
            yield f"address = {weights.address:#x}"
