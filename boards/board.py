"""What the tools know of a board."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tinyllm.boards.action_pins import ActionPins
from tinyllm.errors import UserError

HOST = "host"
"""The name of the board that is this computer."""
TWIN = "-virtual"
"""How the names of virtual boards end."""


@dataclass(frozen=True)
class Memory:
    """Bytes of each memory that the chip and its board have; psram 0 if there is none.

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
class WeightsPlace:
    """Where weights lie beside the program.

    offset, size: bytes of flash that are theirs. program: bytes that this leaves the program. address: where the chip
    shows the first of them, if it always shows all of its flash; else they are a partition that the program maps.
    """

    offset: int
    size: int
    program: int
    address: int | None


@dataclass(frozen=True)
class Bandwidth:
    """MB/s (1e6 bytes a second) that one core reads; None if there is no such memory or no figure."""

    flash: int | None
    sram: int | None
    psram: int | None
    source: str


@dataclass(frozen=True)
class Cycles:
    """Clock cycles that an instruction takes on one core, a mean if no memory makes it wait, and who says so."""

    per_instruction: float
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

    memory: what the twin has, no PSRAM; None if the board has none. cores: how many of its cores compute there.
    weights: where they lie beside the program there.
    """

    ports: tuple[str, ...]
    emulator: str
    platformio: Mapping[str, str]
    memory: Memory | None
    cores: int = 1
    weights: WeightsPlace | None = None


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
    cycles: Cycles | None = None
    power: Power | None = None
    bootloader_drive: str | None = None
    weights: WeightsPlace | None = None
    virtual: Virtual | None = None
    emulator: str | None = None
    actions: ActionPins | None = None

    @property
    def takes_uploads(self) -> bool:
        """Whether a program is uploaded to it: false for this computer and for virtual boards, which start one."""
        own = self.memory is not None or self.platformio.get("upload_protocol") == "custom"
        return own and self.emulator is None

    def twin(self) -> Board:
        """The virtual board that runs the same project on this computer, without a framework that takes memory.

        Raises UserError if there is none.
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
            weights=self.virtual.weights,
            virtual=None,
            actions=None,
        )
