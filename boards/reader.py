"""Reads a board's TOML file, checking every field.

    like             optional, another board: fields that are missing here are taken from it. A table here replaces the
                     other board's whole table; but in [platformio] each option replaces only that option
    description      one line for people
    chip             the chip's name
    instruction_set  of the cores: generic, armv6m, armv8m, rv32, xtensa, xtensa_s3 or host; it decides the kernels
    cores            how many; the engine computes on two of them if there are more than one
    clock_mhz        optional
    ports            folders of firmware/ports whose files the project carries
    [memory]         flash, sram, psram in bytes; optional if the memory is this computer's. app: bytes of flash that
                     one program may take, static: bytes of SRAM for static variables; default: all of it
    [reserve]        optional: flash and ram in bytes that the core or framework takes of app and static, and source
    [weights]        optional: the place for weights beside the program: offset, size, program, address (WeightsPlace)
    [bandwidth]      optional: flash, sram, psram in MB/s (1e6 bytes), and source
    [cycles]         optional: per_instruction, a mean, and source
    [power]          optional: busy_mw, what it draws while it computes, and source
    [[usb]]          vid, pid of the USB port that the board shows; none or several
    [actions]        optional: the calls that the board carries out itself; action_pins.py has its fields
    bootloader_drive optional, the name of the drive that the board shows while it waits for a program
    [platformio]     the options of its PlatformIO environment, texts; platform and board at least
    [virtual]        optional, the board's twin on this computer: ports, [virtual.platformio], the emulator that runs
                     it, unicorn or qemu, and cores, how many compute there; default: one
    [virtual.memory] optional, the twin's app and static, as in [memory]; default: all of the chip's flash and SRAM
    [virtual.weights] optional, the twin's place for weights, as in [weights]; address is required

The file's name is the board's name. A source says where the figures come from, or that they are estimated.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tinyllm.boards.action_pins import action_pins
from tinyllm.boards.board import Bandwidth, Board, Cycles, Memory, Power, Reserve, UsbId, Virtual, WeightsPlace
from tinyllm.boards.platformio_options import FIRMWARE, platformio_options
from tinyllm.boards.toml_table import TomlTable
from tinyllm.errors import UserError
from tinyllm.files import read_bytes
from tinyllm.text import shown
from tinyllm.toml import parse_toml

FOLDER = Path(__file__).parent
"""The folder of our own boards."""
LARGEST_FILE = 64 * 1024
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,30}")
"""A valid name of a board. The name becomes a C string and the name of a PlatformIO environment."""
PORT = re.compile(r"[a-z0-9_]+")
WEIGHTS_PAGE = 64 * 1024
"""Bytes of a page of flash that an ESP32 maps (esp_partition_mmap in ESP-IDF's documentation). Also a whole number of
sectors that can be erased."""
INSTRUCTION_SETS = ("generic", "armv6m", "armv8m", "rv32", "xtensa", "xtensa_s3", "host")
EMULATORS = ("unicorn", "qemu")
FIELDS = (
    "like",
    "description",
    "chip",
    "instruction_set",
    "cores",
    "clock_mhz",
    "ports",
    "memory",
    "reserve",
    "weights",
    "bandwidth",
    "cycles",
    "power",
    "usb",
    "actions",
    "bootloader_drive",
    "platformio",
    "virtual",
)

SIGNS = ("like", "description", "chip", "platformio")
"""A file with none of these fields is no board's."""
SIGNS_SHOWN = 3


def read_board(path: Path) -> Board:
    """Read the board in a file, and in the file of the board that it is like.

    Raises UserError that names the file and the wrong field.
    """
    return _board(path, board_values(path))


def board_values(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The fields of a board's file, joined with those of the board that it is like. Errors as read_board.

    The other board's file lies beside this one, or is one of ours. above: the files that are like this one, from the
    first; they must not come again.
    """
    values = read_toml(path)
    if "like" not in values:
        return values
    name = TomlTable(path, "", values).text("like")
    near = path.parent / f"{name}.toml"
    own = not NAME.fullmatch(name) or near.resolve() == path.resolve() or not near.is_file()
    other = FOLDER / f"{name}.toml" if own else near
    if not NAME.fullmatch(name) or not other.is_file() or other.resolve() == path.resolve():
        raise UserError(f"{path}: like is {shown(name)}, expected a board of ours, or one whose file lies beside this.")
    if other in above:
        raise UserError(f"{path}: like is {shown(name)}, which is itself like this board.")
    base = board_values(other, (*above, path))
    _board(other, base)  # so that an error in the other file names that file
    options = values.get("platformio")
    if isinstance(options, dict):
        values["platformio"] = _merged(base["platformio"], options)
    return base | values


def _merged(options: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    """The options, replaced by `others` one by one. A dotted key of TOML is a table in a table."""
    merged = dict(options)
    for key, value in others.items():
        below = merged.get(key)
        merged[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a board's file. Raises UserError for a wrong file name, and for a file that is no TOML or far too large."""
    if not NAME.fullmatch(path.stem):
        raise UserError(f"{path}: a board's file name is its name: letters, digits, - and _, at most 31.")
    return parse_toml(read_bytes(path, LARGEST_FILE), path)


def _some(values: dict[str, Any]) -> str:
    """The names of a file's first fields, for a message."""
    names = [shown(name) for name in list(values)[:SIGNS_SHOWN]]
    return ", ".join(names) + (", ..." if len(values) > SIGNS_SHOWN else "") or "nothing in it"


def _board(path: Path, values: dict[str, Any]) -> Board:
    table = TomlTable(path, "", values)
    if not any(field in values for field in SIGNS):
        raise UserError(
            f"{path}: no board description: it has {_some(values)}, and none of {', '.join(SIGNS)}.\n"
            "If it is another tool's, move it out of the folder; docs/porting.md says what a board's file holds."
        )
    table.allow(FIELDS)
    memory = _memory(table)
    return Board(
        name=path.stem,
        description=table.text("description"),
        chip=table.text("chip"),
        instruction_set=table.choice("instruction_set", INSTRUCTION_SETS),
        cores=table.number("cores", 1, 64),
        clock_mhz=table.optional("clock_mhz", 1, 10_000),
        memory=memory,
        usb=tuple(_usb(TomlTable(path, f"usb[{i}].", entry)) for i, entry in enumerate(table.take("usb", list, []))),
        platformio=platformio_options(table),
        ports=_ports(table),
        reserve=_reserve(table),
        weights=_weights(table, memory),
        bandwidth=_bandwidth(table),
        cycles=_cycles(table),
        power=_power(table),
        bootloader_drive=table.text("bootloader_drive") if "bootloader_drive" in values else None,
        virtual=_virtual(table, memory),
        actions=action_pins(table),
    )


def _memory(table: TomlTable) -> Memory | None:
    memory = table.table("memory", ("flash", "sram", "psram", "app", "static"))
    if memory is None:
        return None
    flash, sram = memory.number("flash", 1, 2**32), memory.number("sram", 1, 2**32)
    return Memory(
        flash=flash,
        sram=sram,
        psram=memory.optional("psram", 0, 2**32) or 0,
        app=memory.optional("app", 1, flash) or flash,
        static=memory.optional("static", 1, sram) or sram,
    )


def _reserve(table: TomlTable) -> Reserve | None:
    reserve = table.table("reserve", ("flash", "ram", "source"))
    if reserve is None:
        return None
    return Reserve(reserve.number("flash", 0, 2**32), reserve.number("ram", 0, 2**32), reserve.text("source"))


def _weights(table: TomlTable, memory: Memory | None) -> WeightsPlace | None:
    place = table.table("weights", ("offset", "size", "program", "address"))
    if place is None:
        return None
    if memory is None:
        table.fail("weights", "needs [memory], which is missing")
    offset = place.number("offset", 1, memory.flash)
    if offset % WEIGHTS_PAGE:
        place.fail("offset", f"is {offset}, expected a multiple of {WEIGHTS_PAGE:,}, the page that chips map")
    return WeightsPlace(
        offset=offset,
        size=place.number("size", 1, memory.flash - offset),
        program=place.number("program", 1, offset),
        address=place.optional("address", 16, 2**32 - 1),
    )


def _bandwidth(table: TomlTable) -> Bandwidth | None:
    bandwidth = table.table("bandwidth", ("flash", "sram", "psram", "source"))
    if bandwidth is None:
        return None
    flash, sram, psram = (bandwidth.optional(memory, 1, 100_000) for memory in ("flash", "sram", "psram"))
    return Bandwidth(flash, sram, psram, bandwidth.text("source"))


def _cycles(table: TomlTable) -> Cycles | None:
    cycles = table.table("cycles", ("per_instruction", "source"))
    return None if cycles is None else Cycles(cycles.fraction("per_instruction", 0.1, 100), cycles.text("source"))


def _power(table: TomlTable) -> Power | None:
    power = table.table("power", ("busy_mw", "source"))
    return None if power is None else Power(power.number("busy_mw", 1, 100_000), power.text("source"))


def _usb(table: TomlTable) -> UsbId:
    table.allow(("vid", "pid"))
    return UsbId(table.number("vid", 0, 0xFFFF), table.number("pid", 0, 0xFFFF))


def _virtual(table: TomlTable, memory: Memory | None) -> Virtual | None:
    virtual = table.table("virtual", ("cores", "ports", "emulator", "memory", "weights", "platformio"))
    if virtual is None:
        return None
    return Virtual(
        ports=_ports(virtual),
        emulator=virtual.choice("emulator", EMULATORS),
        platformio=platformio_options(virtual),
        memory=_virtual_memory(virtual, memory),
        cores=virtual.optional("cores", 1, 64) or 1,
        weights=_virtual_weights(virtual, memory),
    )


def _virtual_weights(virtual: TomlTable, memory: Memory | None) -> WeightsPlace | None:
    place = _weights(virtual, memory)
    if place is not None and place.address is None:
        virtual.fail("weights.address", "is missing: an image finds its weights at an address")
    return place


def _virtual_memory(virtual: TomlTable, memory: Memory | None) -> Memory | None:
    limits = virtual.table("memory", ("app", "static"))
    if memory is None:
        if limits is not None:
            virtual.fail("memory", "needs [memory], which is missing")
        return None
    app = limits and limits.optional("app", 1, memory.flash)
    static = limits and limits.optional("static", 1, memory.sram)
    return Memory(memory.flash, memory.sram, psram=0, app=app or memory.flash, static=static or memory.sram)


def _ports(table: TomlTable) -> tuple[str, ...]:
    values = table.take("ports", list)
    if not values or not all(isinstance(value, str) and PORT.fullmatch(value) for value in values):
        table.fail("ports", f"is {shown(values)}, expected a list of names of folders below firmware/ports")
    known = sorted(path.name for path in (FIRMWARE / "ports").iterdir() if path.is_dir())
    for value in values:
        if value not in known:
            table.fail("ports", f"names {shown(value)}, expected folders of firmware/ports: {', '.join(known)}")
    return tuple(values)
