"""The registers of the devices that the firmware uses. An access to any other register of a device is a fault."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from tinyllm.host.virtual.unicorn.uart import UartLine

PAGE = 4096
"""Bytes of address space that each device takes."""


class UnknownRegister(Exception):
    """There is no such register, or it cannot be written."""


class Clock(Protocol):
    """The board's time, as seen by the core that asks."""

    def ticks(self, per_microsecond: int) -> int:
        """Ticks since the start, of a timer with this many ticks a microsecond."""


class Cores(Protocol):
    """The two cores that a FIFO connects."""

    @property
    def asking(self) -> int:
        """The number of the core that reads or writes a register."""

    @property
    def now(self) -> int:
        """The time of that core."""

    def catch_up(self, time: int) -> None:
        """Advance that core's time to that of the word it is about to read."""


class Device:
    """A device's 32-bit registers, by their offsets. Registers in PLAIN keep what is written to them and do nothing."""

    PLAIN: tuple[int, ...] = ()

    def __init__(self) -> None:
        self._plain = dict.fromkeys(self.PLAIN, 0)

    def read(self, offset: int) -> int:
        """The register's value. Raises UnknownRegister if there is no such register."""
        if offset not in self._plain:
            raise UnknownRegister
        return self._plain[offset]

    def write(self, offset: int, value: int) -> None:
        """Change the register. Raises UnknownRegister if there is no such register."""
        if offset not in self._plain:
            raise UnknownRegister
        self._plain[offset] = value


class Pl011(Device):
    """Arm PrimeCell UART (PL011) Technical Reference Manual, section 3.3. Sending takes no time."""

    DATA, FLAGS = 0x00, 0x18
    PLAIN = (0x24, 0x28, 0x2C, 0x30, 0x38)
    """Baud rate (whole, fraction), line control, control, interrupt mask."""
    RX_EMPTY, TX_EMPTY = 1 << 4, 1 << 7

    def __init__(self, line: UartLine) -> None:
        super().__init__()
        self._line = line

    def read(self, offset: int) -> int:
        if offset == self.FLAGS:
            return self.TX_EMPTY if self._line.readable() else self.TX_EMPTY | self.RX_EMPTY
        if offset == self.DATA:
            return self._line.take()
        return super().read(offset)

    def write(self, offset: int, value: int) -> None:
        if offset == self.DATA:
            self._line.put(value & 0xFF)
        else:
            super().write(offset, value)


class Resets(Device):
    """RP2040 datasheet section 2.14, RP2350 datasheet section 7.5: after reset every device is held in reset."""

    RESET, DONE = 0x0, 0x8
    PLAIN = (RESET,)

    def __init__(self, bits: int) -> None:
        super().__init__()
        self._mask = (1 << bits) - 1
        self.write(self.RESET, self._mask)

    def read(self, offset: int) -> int:
        return ~super().read(self.RESET) & self._mask if offset == self.DONE else super().read(offset)


class RpTimer(Device):
    """RP2040 datasheet section 4.6, RP2350 datasheet section 12.8: microseconds, read without latching."""

    RAW_HIGH, RAW_LOW = 0x24, 0x28

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def read(self, offset: int) -> int:
        if offset == self.RAW_HIGH:
            return self._clock.ticks(1) >> 32 & 0xFFFFFFFF
        if offset == self.RAW_LOW:
            return self._clock.ticks(1) & 0xFFFFFFFF
        return super().read(offset)


class SystemControl(Device):
    """Armv6-M Architecture Reference Manual B3.2 and B3.4, as far as a core with masked interrupts uses them.

    On a chip, enabled interrupts end a sleep. Here every received byte wakes the core, whatever is enabled.
    """

    PLAIN = (0x100, 0x104, 0x280, 0x284, 0xD08)
    """Interrupts: enable, clear pending, two words each; vector table offset."""


class Fifos(Device):
    """The FIFOs between the two cores, in the single-cycle I/O block.

    RP2040 datasheet section 2.3.1.4, RP2350 datasheet section 3.1.5. A word in a FIFO wakes no core: SEV does.
    """

    CPUID, STATUS, WRITE, READ = 0x00, 0x50, 0x54, 0x58
    RECEIVED, ROOM = 1 << 0, 1 << 1
    WORDS = 8

    def __init__(self, cores: Cores) -> None:
        super().__init__()
        self._cores = cores
        self._words: tuple[deque[tuple[int, int]], ...] = (deque(), deque())

    def read(self, offset: int) -> int:
        own, other = self._words[self._cores.asking], self._words[1 - self._cores.asking]
        if offset == self.CPUID:
            return self._cores.asking
        if offset == self.STATUS:
            return (self.RECEIVED if own else 0) | (self.ROOM if len(other) < self.WORDS else 0)
        if offset == self.READ and own:
            time, word = own.popleft()
            self._cores.catch_up(time)
            return word
        return super().read(offset)

    def write(self, offset: int, value: int) -> None:
        if offset != self.WRITE:
            raise UnknownRegister
        self.send(1 - self._cores.asking, value, self._cores.now)

    def send(self, core: int, word: int, time: int) -> None:
        """Put a word into the FIFO that a core reads. If the FIFO is full the word is lost, as on the chip."""
        if len(self._words[core]) < self.WORDS:
            self._words[core].append((time, word))

    def take(self, core: int) -> int | None:
        """The next word for a core, None if there is none."""
        return self._words[core].popleft()[1] if self._words[core] else None


class EspUart(Device):
    """ESP32-C3 Technical Reference Manual, section 26.5. Sending takes no time."""

    FIFO, STATUS = 0x00, 0x1C

    def __init__(self, line: UartLine) -> None:
        super().__init__()
        self._line = line

    def read(self, offset: int) -> int:
        if offset == self.STATUS:
            return 1 if self._line.readable() else 0
        if offset == self.FIFO:
            return self._line.take()
        return super().read(offset)

    def write(self, offset: int, value: int) -> None:
        if offset != self.FIFO:
            raise UnknownRegister
        self._line.put(value & 0xFF)


class EspSystemTimer(Device):
    """ESP32-C3 Technical Reference Manual, section 10.5: unit 0, 16 MHz, latched by a write to UNIT0_OP."""

    UNIT0_OP, HIGH, LOW = 0x04, 0x40, 0x44
    UPDATE, VALID = 1 << 30, 1 << 29
    PLAIN = (HIGH, LOW)

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def read(self, offset: int) -> int:
        return self.VALID if offset == self.UNIT0_OP else super().read(offset)

    def write(self, offset: int, value: int) -> None:
        if offset != self.UNIT0_OP:
            raise UnknownRegister
        if value & self.UPDATE:
            ticks = self._clock.ticks(16)
            self._plain = {self.HIGH: ticks >> 32 & 0xFFFFF, self.LOW: ticks & 0xFFFFFFFF}
