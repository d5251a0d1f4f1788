"""A board and its parts as data: memories, speeds, USB numbers, its virtual twin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tinyllm.boards.action_pins import ActionPins
from tinyllm.errors import UserError

HOST = "host"
"""The name of the board that stands for this computer."""
TWIN = "-virtual"
"""The ending of virtual boards' names."""


@dataclass(frozen=True)
class Memory:
    """Bytes of each memory of the board; psram is 0 if there is none.

    app: bytes of flash that one program may take. static: bytes of sram that static variables may take.
    """

    flash: int
    sram: int
    psram: int
    app: int
    static: int


@dataclass(frozen=True)
class Reserve:
    """Bytes of a program's flash and of static RAM that the framework takes, its heap included.

    source: where the figures come from.
    """

    flash: int
    ram: int
    source: str


@dataclass(frozen=True)
class WeightsPlace:
    """Where weights lie beside the program.

    offset, size: their bytes of flash. program: bytes that this leaves for the program. address: the address of the
    first byte, if the chip always maps its whole flash; None if they are a partition that the program maps.
    """

    offset: int
    size: int
    program: int
    address: int | None


@dataclass(frozen=True)
class Bandwidth:
    """MB/s (1e6 bytes a second) that one core reads from each memory; None if there is no such memory or no figure.

    source: where the figures come from.
    """

    flash: int | None
    sram: int | None
    psram: int | None
    source: str


@dataclass(frozen=True)
class Cycles:
    """Mean clock cycles of an instruction on one core, without waits for memory. source: of the figure."""

    per_instruction: float
    source: str


@dataclass(frozen=True)
class Power:
    """Milliwatts that the board draws while it computes. source: where the figure comes from."""

    busy_mw: int
    source: str


@dataclass(frozen=True)
class UsbId:
    """USB vendor and product number."""

    vid: int
    pid: int


@dataclass(frozen=True)
class Virtual:
    """How a board's virtual twin is built, and which emulator runs it.

    memory: the twin's memory, without PSRAM; None if the board has none. cores: how many cores compute in the twin.
    weights: where weights lie beside the twin's program.
    """

    ports: tuple[str, ...]
    emulator: str
    platformio: Mapping[str, str]
    memory: Memory | None
    cores: int = 1
    weights: WeightsPlace | None = None


@dataclass(frozen=True)
class Board:
    """A board. memory and clock_mhz are None for the host board, which is this computer."""

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
        """Whether a program is uploaded to the board. False for this computer and virtual boards, which start it."""
        own = self.memory is not None or self.platformio.get("upload_protocol") == "custom"
        return own and self.emulator is None

    @property
    def uploads_to_port(self) -> bool:
        """Whether an upload goes to the port that is named, as esptool's does.

        A Pico or a Teensy waits for its program beside its port, where two of them look alike.
        """
        protocol = self.platformio.get("upload_protocol", "esptool" if self.chip.startswith("esp32") else None)
        return protocol == "esptool" or "$UPLOAD_PORT" in str(self.platformio.get("upload_command", ""))

    def twin(self) -> Board:
        """The virtual board that runs the same project on this computer. It has no framework that takes memory.

        Raises UserError if the board has no twin.
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
