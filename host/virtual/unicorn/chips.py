"""The emulated chips: addresses of their memories and devices, from the datasheets.

Only memories and devices that the firmware uses are listed. An access to any other address stops the virtual board.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tinyllm.host.virtual.unicorn import devices
from tinyllm.host.virtual.unicorn.devices import Clock, Device
from tinyllm.host.virtual.unicorn.uart import UartLine

CoreName = Literal["cortex-m0", "cortex-m33", "rv32imc"]


@dataclass(frozen=True)
class Region:
    """Memory of `size` bytes at `start`. Flash is not `writable`. executable: all of it may hold code."""

    name: str
    start: int
    size: int
    writable: bool = False
    executable: bool = False

    @property
    def end(self) -> int:
        return self.start + self.size


@dataclass(frozen=True)
class Mapped:
    """A device and the address of its registers."""

    name: str
    start: int
    make: Callable[[UartLine, Clock], Device]


@dataclass(frozen=True)
class Chip:
    """A chip.

    vectors: the address of the first stack pointer and the reset handler; None if the boot ROM jumps to the image's
    entry. fifos: the address of the FIFOs between the two cores; None if the chip has one core.
    """

    name: str
    core: CoreName
    clock_mhz: int
    regions: tuple[Region, ...]
    devices: tuple[Mapped, ...]
    vectors: int | None
    fifos: int | None = None


KB, MB = 1024, 1024 * 1024
SYSTEM_CONTROL = Mapped("system control", 0xE000E000, lambda line, clock: devices.SystemControl())

# RP2040 datasheet: section 2.2 (address map), 133 MHz.
RP2040 = Chip(
    name="rp2040",
    core="cortex-m0",
    clock_mhz=133,
    regions=(
        Region("flash", 0x10000000, 2 * MB, executable=True),
        Region("SRAM", 0x20000000, 264 * KB, writable=True),
    ),
    devices=(
        Mapped("RESETS", 0x4000C000, lambda line, clock: devices.Resets(bits=25)),
        Mapped("UART0", 0x40034000, lambda line, clock: devices.Pl011(line)),
        Mapped("TIMER", 0x40054000, lambda line, clock: devices.RpTimer(clock)),
        SYSTEM_CONTROL,
    ),
    vectors=0x10000100,
    fifos=0xD0000000,
)

# RP2350 datasheet: section 2.2 (address map), 150 MHz.
RP2350 = Chip(
    name="rp2350",
    core="cortex-m33",
    clock_mhz=150,
    regions=(
        Region("flash", 0x10000000, 4 * MB, executable=True),
        Region("SRAM", 0x20000000, 520 * KB, writable=True),
    ),
    devices=(
        Mapped("RESETS", 0x40020000, lambda line, clock: devices.Resets(bits=29)),
        Mapped("UART0", 0x40070000, lambda line, clock: devices.Pl011(line)),
        Mapped("TIMER0", 0x400B0000, lambda line, clock: devices.RpTimer(clock)),
        SYSTEM_CONTROL,
    ),
    vectors=0x10000000,
    fifos=0xD0000000,
)

# ESP32-C3 Technical Reference Manual: section 3.3 (address map), 160 MHz.
# The chip shows its flash, and SRAM1, at two addresses: for code and for data. Here each address has its own memory.
ESP32C3 = Chip(
    name="esp32c3",
    core="rv32imc",
    clock_mhz=160,
    regions=(
        Region("flash (instructions)", 0x42000000, 4 * MB, executable=True),
        Region("flash (data)", 0x3C000000, 4 * MB),
        Region("SRAM1", 0x3FC80000, 384 * KB, writable=True),
        Region("SRAM1 (instructions)", 0x40380000, 384 * KB, executable=True),
    ),
    devices=(
        Mapped("UART0", 0x60000000, lambda line, clock: devices.EspUart(line)),
        Mapped("SYSTIMER", 0x60023000, lambda line, clock: devices.EspSystemTimer(clock)),
    ),
    vectors=None,
)

CHIPS = {chip.name: chip for chip in (RP2040, RP2350, ESP32C3)}
