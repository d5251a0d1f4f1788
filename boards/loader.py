"""Board descriptions: one TOML per board in this folder, checked on reading.

    description      one line for people
    chip             the chip's name
    instruction_set  which kernels it runs: generic, armv6m, armv8m, rv32 or xtensa_s3
    cores            how many
    clock_mhz        optional
    ports            folders of firmware/ports whose files the project carries
    [memory]         flash, sram, psram in bytes; optional where the memory is this computer's
    [[usb]]          vid, pid of the USB port that the board shows; none or several
    [platformio]     the options of its PlatformIO environment, texts; platform and board at least
    [virtual]        optional, the board's twin on this computer: ports, [virtual.platformio], and the emulator that
                     runs it, unicorn or qemu

The file's name is the board's name.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn, TypeVar

from tinyllm.boards.errors import UserError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).parent
INSTRUCTION_SETS = ("generic", "armv6m", "armv8m", "rv32", "xtensa_s3")
EMULATORS = ("unicorn", "qemu")
FIELDS = (
    "description",
    "chip",
    "instruction_set",
    "cores",
    "clock_mhz",
    "ports",
    "memory",
    "usb",
    "platformio",
    "virtual",
)

_T = TypeVar("_T")
_REQUIRED = object()


@dataclass(frozen=True)
class Memory:
    """Bytes of each memory that the chip and its board have; psram 0 where there is none."""

    flash: int
    sram: int
    psram: int = 0


@dataclass(frozen=True)
class UsbId:
    """USB vendor and product number."""

    vid: int
    pid: int


@dataclass(frozen=True)
class Virtual:
    """How a board's twin is built and which emulator runs it."""

    ports: tuple[str, ...]
    emulator: str
    platformio: Mapping[str, str]


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
    virtual: Virtual | None = None
    emulator: str | None = None

    def twin(self) -> Board:
        """The virtual board that runs the same project on this computer. Raises UserError where there is none."""
        if self.virtual is None:
            raise UserError(f"board {self.name} has no virtual twin. `tinyllm boards` shows which have one.")
        return replace(
            self,
            name=f"{self.name}-virtual",
            platformio=self.virtual.platformio,
            ports=self.virtual.ports,
            emulator=self.virtual.emulator,
            virtual=None,
        )


def board_names(folder: Path = FOLDER) -> list[str]:
    """Names of the boards that are described, sorted."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def load_board(name: str, folder: Path = FOLDER) -> Board:
    """The board of that name. Raises UserError for an unknown name, with the nearest, and for a file that is wrong."""
    names = board_names(folder)
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"Known boards: {', '.join(names)}."
        raise UserError(f"unknown board {name!r}. {hint}")
    return read_board(folder / f"{name}.toml")


def load_boards(folder: Path = FOLDER) -> list[Board]:
    """All boards, sorted by name; UserError for the first file that is wrong."""
    return [load_board(name, folder) for name in board_names(folder)]


def read_board(path: Path) -> Board:
    """The board in one file. Raises UserError naming the file and the field that is wrong."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a readable TOML file: {error}.") from None
    table = _Table(path, "", values)
    table.allow(FIELDS)
    instruction_set = table.take("instruction_set", str)
    if instruction_set not in INSTRUCTION_SETS:
        table.fail("instruction_set", f"is {instruction_set!r}, expected one of {', '.join(INSTRUCTION_SETS)}")
    return Board(
        name=path.stem,
        description=table.take("description", str),
        chip=table.take("chip", str),
        instruction_set=instruction_set,
        cores=table.number("cores", 1, 64),
        clock_mhz=table.number("clock_mhz", 1, 10_000) if "clock_mhz" in values else None,
        memory=_memory(table),
        usb=tuple(_usb(_Table(path, f"usb[{i}].", entry)) for i, entry in enumerate(table.take("usb", list, []))),
        platformio=_platformio(table),
        ports=table.texts("ports"),
        virtual=_virtual(table),
    )


def _memory(table: _Table) -> Memory | None:
    if "memory" not in table.values:
        return None
    memory = _Table(table.path, "memory.", table.take("memory", dict))
    memory.allow(("flash", "sram", "psram"))
    psram = memory.number("psram", 0, 2**32) if "psram" in memory.values else 0
    return Memory(flash=memory.number("flash", 1, 2**32), sram=memory.number("sram", 1, 2**32), psram=psram)


def _usb(table: _Table) -> UsbId:
    table.allow(("vid", "pid"))
    return UsbId(table.number("vid", 0, 0xFFFF), table.number("pid", 0, 0xFFFF))


def _virtual(table: _Table) -> Virtual | None:
    if "virtual" not in table.values:
        return None
    virtual = _Table(table.path, "virtual.", table.take("virtual", dict))
    virtual.allow(("ports", "emulator", "platformio"))
    emulator = virtual.take("emulator", str)
    if emulator not in EMULATORS:
        virtual.fail("emulator", f"is {emulator!r}, expected one of {', '.join(EMULATORS)}")
    return Virtual(virtual.texts("ports"), emulator, _platformio(virtual))


def _platformio(table: _Table) -> Mapping[str, str]:
    options = _Table(table.path, f"{table.prefix}platformio.", table.take("platformio", dict))
    for required in ("platform", "board"):
        options.take(required, str)
    return MappingProxyType({key: options.take(key, str) for key in options.values})


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
            self.fail(field, f"is {value!r}, expected {_KINDS[kind]}")
        return value

    def texts(self, field: str) -> tuple[str, ...]:
        values = self.take(field, list)
        if not values or not all(isinstance(value, str) for value in values):
            self.fail(field, f"is {values!r}, expected a list of texts")
        return tuple(values)

    def number(self, field: str, lowest: int, highest: int) -> int:
        value = self.take(field, int)
        if not lowest <= value <= highest:
            self.fail(field, f"is {value}, expected {lowest} to {highest}")
        return value


_KINDS: dict[type, str] = {str: "a text", int: "a whole number", list: "a list", dict: "a table"}
