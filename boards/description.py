"""Board descriptions: one TOML per board in this folder, checked on reading.

    description      one line for people
    chip             the chip's name
    instruction_set  of its cores: generic, armv6m, armv8m, rv32 or xtensa_s3. Every board runs the portable C kernels;
                     there are none yet that use an instruction set's own instructions
    cores            how many; the engine computes on two of them where there are more than one
    clock_mhz        optional
    ports            folders of firmware/ports whose files the project carries
    [memory]         flash, sram, psram in bytes; optional where the memory is this computer's. app: bytes of flash that
                     one program may take, static: bytes of SRAM for static variables; default: all of it
    [reserve]        optional: flash and ram in bytes that the core or framework takes of app and static, and source
    [bandwidth]      optional: flash, sram, psram in MB/s (1e6 bytes), and source
    [power]          optional: busy_mw, what it draws while it computes, and source
    [[usb]]          vid, pid of the USB port that the board shows; none or several
    bootloader_drive optional, the name of the drive that the board shows while it waits for a program
    [platformio]     the options of its PlatformIO environment, texts; platform and board at least
    [virtual]        optional, the board's twin on this computer: ports, [virtual.platformio], the emulator that runs
                     it, unicorn or qemu, and cores, how many compute there; default: one
    [virtual.memory] optional, app and static as in [memory], of the twin; default: all of the chip's flash and SRAM

The file's name is the board's name. A source says where the figures come from, or that they are estimated.

A board is looked for in the folder that TINYLLM_BOARDS_DIR names (`tinyllm --boards-dir`), in boards/ of the current
folder, then here: a user's board is one more file, and may stand in for one of ours.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlsplit

from tinyllm.errors import UserError
from tinyllm.text import shown

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).parent
FIRMWARE = Path(__file__).resolve().parents[1] / "firmware"
OWN_PLATFORM = "tinyllm"
"""The PlatformIO platform that lies in firmware/platform."""
INSTRUCTION_SETS = ("generic", "armv6m", "armv8m", "rv32", "xtensa_s3")
EMULATORS = ("unicorn", "qemu")
BOARDS_DIR = "TINYLLM_BOARDS_DIR"
HOST = "host"
"""The name of the board that is this computer."""
TWIN = "-virtual"
"""How the names of virtual boards end."""
LARGEST_FILE = 64 * 1024

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,30}")
"""What a board may be called: it becomes a C string and the name of a PlatformIO environment."""
PORT = re.compile(r"[a-z0-9_]+")
REQUIREMENT = re.compile(r"(?:==|!=|<=|>=|<|>|\^|~)?(?:\*|(?:0|[1-9]\d*)(?:\.(?:\*|0|[1-9]\d*)){0,2})")
"""A clause of a version requirement that PlatformIO reads (semantic_version.SimpleSpec), but for pre-releases."""
PLATFORM_NAME = re.compile(r"(?!id=|\d+$)\w")
OPTION = re.compile(r"[a-z][a-z0-9_.]*")
DEEPEST_OPTION = 4
"""Dots in an option's name; PlatformIO's own have two."""
FIELDS = (
    "description",
    "chip",
    "instruction_set",
    "cores",
    "clock_mhz",
    "ports",
    "memory",
    "reserve",
    "bandwidth",
    "power",
    "usb",
    "bootloader_drive",
    "platformio",
    "virtual",
)

_T = TypeVar("_T")
_REQUIRED = object()


@dataclass(frozen=True)
class Memory:
    """Bytes of each memory that the chip and its board have; psram 0 where there is none.

    app: of flash, what one program may take; static: of sram, what static variables may take.
    """

    flash: int
    sram: int
    psram: int
    app: int
    static: int


@dataclass(frozen=True)
class Reserve:
    """Bytes of a program's flash and of static RAM that are the framework's, heap included, and who says so."""

    flash: int
    ram: int
    source: str


@dataclass(frozen=True)
class Bandwidth:
    """MB/s (1e6 bytes a second) that one core reads; None where there is no such memory or no figure."""

    flash: int | None
    sram: int | None
    psram: int | None
    source: str


@dataclass(frozen=True)
class Power:
    """Milliwatts while the board computes, and who says so."""

    busy_mw: int
    source: str


@dataclass(frozen=True)
class UsbId:
    """USB vendor and product number."""

    vid: int
    pid: int


@dataclass(frozen=True)
class Virtual:
    """How a board's twin is built and which emulator runs it.

    memory: what the twin has, no PSRAM; None where the board has none. cores: how many of its cores compute there.
    """

    ports: tuple[str, ...]
    emulator: str
    platformio: Mapping[str, str]
    memory: Memory | None
    cores: int = 1


@dataclass(frozen=True)
class Board:
    """What the tools need to know of a board. memory and clock_mhz are None for this computer itself."""

    name: str
    description: str
    chip: str
    instruction_set: str
    cores: int
    clock_mhz: int | None
    memory: Memory | None
    usb: tuple[UsbId, ...]
    platformio: Mapping[str, str]
    ports: tuple[str, ...]
    reserve: Reserve | None = None
    bandwidth: Bandwidth | None = None
    power: Power | None = None
    bootloader_drive: str | None = None
    virtual: Virtual | None = None
    emulator: str | None = None

    def twin(self) -> Board:
        """The virtual board that runs the same project on this computer, without a framework that takes memory.

        Raises UserError where there is none.
        """
        if self.virtual is None:
            raise UserError(f"board {self.name} has no virtual twin. `tinyllm boards` shows which have one.")
        return replace(
            self,
            name=f"{self.name}{TWIN}",
            memory=self.virtual.memory,
            reserve=None,
            usb=(),
            bootloader_drive=None,
            platformio=self.virtual.platformio,
            ports=self.virtual.ports,
            emulator=self.virtual.emulator,
            cores=self.virtual.cores,
            virtual=None,
        )


def board_folders() -> list[Path]:
    """Where boards are described, the user's folders first.

    Raises UserError where TINYLLM_BOARDS_DIR is no folder, or holds no board.
    """
    folders = []
    if chosen := os.environ.get(BOARDS_DIR):
        folders.append(Path(chosen).expanduser())
        if not any(folders[0].glob("*.toml")):
            wrong = "no board TOML in it" if folders[0].is_dir() else "no such folder"
            raise UserError(f"{chosen}: {wrong}; --boards-dir ({BOARDS_DIR}) takes a folder that holds board TOMLs.")
    if any(Path("boards").glob("*.toml")):
        folders.append(Path("boards"))
    return [*folders, FOLDER]


def board_files(folder: Path | None = None) -> dict[str, Path]:
    """Board name -> its file, sorted by name: of `folder`, or of all folders, where the user's come first."""
    found: dict[str, Path] = {}
    for place in [folder] if folder else board_folders():
        for path in place.glob("*.toml"):
            found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def board_names(folder: Path | None = None) -> list[str]:
    """Names of the boards that are described, sorted."""
    return list(board_files(folder))


def load_board(name: str, folder: Path | None = None) -> Board:
    """The board of that name. Raises UserError for an unknown name, with the nearest, and for a file that is wrong."""
    files = board_files(folder)
    if name not in files:
        near = difflib.get_close_matches(name, files, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"Known boards: {', '.join(files)}."
        raise UserError(f"unknown board {name!r}. {hint}")
    return read_board(files[name])


def load_boards(folder: Path | None = None) -> list[Board]:
    """All boards, sorted by name; UserError for the first file that is wrong."""
    return [read_board(path) for path in board_files(folder).values()]


def read_board(path: Path) -> Board:
    """The board in one file. Raises UserError naming the file and the field that is wrong."""
    if not NAME.fullmatch(path.stem):
        raise UserError(f"{path}: a board's file name is its name: letters, digits, - and _, at most 31.")
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise UserError(f"{path}: {size:,} bytes, expected at most {LARGEST_FILE:,}; this is no board description.")
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a readable TOML file: {error}.") from None
    table = _Table(path, "", values)
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
        usb=tuple(_usb(_Table(path, f"usb[{i}].", entry)) for i, entry in enumerate(table.take("usb", list, []))),
        platformio=_platformio(table),
        ports=table.ports(),
        reserve=_reserve(table),
        bandwidth=_bandwidth(table),
        power=_power(table),
        bootloader_drive=table.text("bootloader_drive") if "bootloader_drive" in values else None,
        virtual=_virtual(table, memory),
    )


def _memory(table: _Table) -> Memory | None:
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


def _reserve(table: _Table) -> Reserve | None:
    reserve = table.table("reserve", ("flash", "ram", "source"))
    if reserve is None:
        return None
    return Reserve(reserve.number("flash", 0, 2**32), reserve.number("ram", 0, 2**32), reserve.text("source"))


def _bandwidth(table: _Table) -> Bandwidth | None:
    bandwidth = table.table("bandwidth", ("flash", "sram", "psram", "source"))
    if bandwidth is None:
        return None
    flash, sram, psram = (bandwidth.optional(memory, 1, 100_000) for memory in ("flash", "sram", "psram"))
    return Bandwidth(flash, sram, psram, bandwidth.text("source"))


def _power(table: _Table) -> Power | None:
    power = table.table("power", ("busy_mw", "source"))
    return None if power is None else Power(power.number("busy_mw", 1, 100_000), power.text("source"))


def _usb(table: _Table) -> UsbId:
    table.allow(("vid", "pid"))
    return UsbId(table.number("vid", 0, 0xFFFF), table.number("pid", 0, 0xFFFF))


def _virtual(table: _Table, memory: Memory | None) -> Virtual | None:
    virtual = table.table("virtual", ("cores", "ports", "emulator", "memory", "platformio"))
    if virtual is None:
        return None
    return Virtual(
        ports=virtual.ports(),
        emulator=virtual.choice("emulator", EMULATORS),
        platformio=_platformio(virtual),
        memory=_virtual_memory(virtual, memory),
        cores=virtual.optional("cores", 1, 64) or 1,
    )


def _virtual_memory(virtual: _Table, memory: Memory | None) -> Memory | None:
    limits = virtual.table("memory", ("app", "static"))
    if memory is None:
        if limits is not None:
            virtual.fail("memory", "needs [memory], which is missing")
        return None
    app = limits and limits.optional("app", 1, memory.flash)
    static = limits and limits.optional("static", 1, memory.sram)
    return Memory(memory.flash, memory.sram, psram=0, app=app or memory.flash, static=static or memory.sram)


def _platformio(table: _Table) -> Mapping[str, str]:
    """The options as platformio.ini has them: a dotted key of TOML, a table in a table, is one option again."""
    options = _Table(table.path, f"{table.prefix}platformio.", table.take("platformio", dict))
    platform = options.text("platform")
    if platform == OWN_PLATFORM:
        options.choice("board", sorted(path.stem for path in (FIRMWARE / "platform/boards").glob("*.json")))
    else:
        options.text("board")
        _check_platform(options, platform)
    return MappingProxyType(dict(_flat(options, "")))


def _check_platform(options: _Table, platform: str) -> None:
    """Complain of a platform that PlatformIO cannot read: [owner/]name[@requirement], or an address or path.

    PlatformIO could tell, but takes longer to import than all else here; the tests hold this against it.
    """
    place, at, requirement = platform.strip().rpartition("@")
    if not at or ":" in requirement or "/" in requirement or platform.strip().startswith(("file://", "symlink://")):
        place, requirement = platform.strip(), ""
    for clause in requirement.split(",") if requirement.strip() else ():
        if not REQUIREMENT.fullmatch(clause.strip()):
            options.fail(
                "platform",
                f"is {shown(platform)}, which PlatformIO cannot read: {shown(clause)} is no version requirement like "
                "^6.10.0",
            )
    try:
        path = urlsplit(place).path.removesuffix("/") if "://" in place else place
    except ValueError as error:
        options.fail("platform", f"is {shown(platform)}, which PlatformIO cannot read: {error}")
    if not PLATFORM_NAME.match(path.rpartition("/")[2].strip()):
        options.fail("platform", f"is {shown(platform)}, expected the name or address of a platform")


def _flat(table: _Table, prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in table.values.items():
        if not OPTION.fullmatch(key):
            table.fail(repr(key), "is no option of PlatformIO, expected a name like board_build.partitions")
        if isinstance(value, dict) and prefix.count(".") < DEEPEST_OPTION:
            yield from _flat(_Table(table.path, f"{table.prefix}{key}.", value), f"{prefix}{key}.")
            continue
        yield f"{prefix}{key}", table.line(key)


class _Table:
    """One table of the file; every complaint names the file and the field."""

    def __init__(self, path: Path, prefix: str, values: Any) -> None:
        self.path, self.prefix = path, prefix
        if not isinstance(values, dict):
            raise UserError(f"{path}: {prefix.rstrip('.')} must be a table.")
        self.values: dict[str, Any] = values

    def fail(self, field: str, problem: str) -> NoReturn:
        raise UserError(f"{self.path}: {self.prefix}{field} {problem}.")

    def allow(self, fields: tuple[str, ...]) -> None:
        for key in self.values:
            if key not in fields:
                self.fail(key, f"is unknown, expected one of {', '.join(fields)}")

    def take(self, field: str, kind: type[_T], default: Any = _REQUIRED) -> _T:
        value: object = self.values.get(field, default)
        if value is _REQUIRED:
            self.fail(field, f"is missing, expected {_KINDS[kind]}")
        if not isinstance(value, kind) or isinstance(value, bool):
            self.fail(field, f"is {shown(value)}, expected {_KINDS[kind]}")
        return value

    def line(self, field: str) -> str:
        """A text of one line; it may be empty."""
        value = self.take(field, str)
        if not value.isprintable():
            self.fail(field, "holds a line break or control character, expected one line")
        return value

    def text(self, field: str) -> str:
        """A text of one line that says something."""
        value = self.line(field)
        if not value.strip():
            self.fail(field, "is empty, expected a text")
        return value

    def choice(self, field: str, choices: Sequence[str]) -> str:
        expected = f"expected one of {', '.join(choices)}"
        if field not in self.values:
            self.fail(field, f"is missing, {expected}")
        value = self.values[field]
        if value not in choices:
            self.fail(field, f"is {shown(value)}, {expected}")
        return str(value)

    def table(self, field: str, fields: tuple[str, ...]) -> _Table | None:
        """The table of that name, which may hold these fields and no other; None where there is none."""
        if field not in self.values:
            return None
        table = _Table(self.path, f"{self.prefix}{field}.", self.take(field, dict))
        table.allow(fields)
        return table

    def ports(self) -> tuple[str, ...]:
        values = self.take("ports", list)
        if not values or not all(isinstance(value, str) and PORT.fullmatch(value) for value in values):
            self.fail("ports", f"is {shown(values)}, expected a list of names of folders below firmware/ports")
        known = sorted(path.name for path in (FIRMWARE / "ports").iterdir() if path.is_dir())
        for value in values:
            if value not in known:
                self.fail("ports", f"names {shown(value)}, expected folders of firmware/ports: {', '.join(known)}")
        return tuple(values)

    def optional(self, field: str, lowest: int, highest: int) -> int | None:
        return self.number(field, lowest, highest) if field in self.values else None

    def number(self, field: str, lowest: int, highest: int) -> int:
        value = self.take(field, int)
        if not lowest <= value <= highest:
            self.fail(field, f"is {value}, expected {lowest} to {highest}")
        return value


_KINDS: dict[type, str] = {str: "a text", int: "a whole number", list: "a list", dict: "a table"}
