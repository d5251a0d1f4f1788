"""One chip in the Unicorn emulator: its memory, devices and time, and its cores, which run in turn."""

from __future__ import annotations

import mmap
import threading
from typing import NoReturn

from tinyllm.host.virtual.profile import OpenProfile
from tinyllm.host.virtual.unicorn.boot_rom import BootRom
from tinyllm.host.virtual.unicorn.chips import Chip
from tinyllm.host.virtual.unicorn.core import BoardFault, Processor
from tinyllm.host.virtual.unicorn.core_kinds import Hint
from tinyllm.host.virtual.unicorn.devices import Device, Fifos
from tinyllm.host.virtual.unicorn.image import Image
from tinyllm.host.virtual.unicorn.instruction_counter import MakeCounter
from tinyllm.host.virtual.unicorn.uart import UartLine

SLICE = 50_000
"""Instructions that one core executes before the other has its turn, if neither waits."""


class Machine:
    """A chip with an image in its flash.

    The board's clock is emulated: its microseconds are instructions divided by the clock in MHz. It knows no cycles and
    no waits for flash or for the other core's use of a memory, and it stands still while the board sleeps. If
    `clock_mhz` is 1, the times that the board reports are instructions.

    Two cores take turns: the core whose own time is behind runs next. A core that waited for the other goes on at the
    time at which the other ended its wait, so one core's clock shows the longer way through both.
    """

    def __init__(
        self,
        chip: Chip,
        image: Image,
        line: UartLine,
        counter: MakeCounter,
        clock_mhz: int,
        profile: OpenProfile | None = None,
    ) -> None:
        """Put the image into flash. counter: CompiledCounter or PythonCounter. Raises the errors of the counter.

        profile: if given, the counter counts there what each function executes.
        """
        self._chip, self._image, self._line, self._counter, self._clock_mhz = chip, image, line, counter, clock_mhz
        self._profile = profile
        self._memory = {region.name: memoryview(mmap.mmap(-1, region.size)) for region in chip.regions}
        self._load()
        self._devices: list[tuple[str, int, Device]] = [
            (device.name, device.start, device.make(line, self)) for device in chip.devices
        ]
        self._fifos = Fifos(self)
        if chip.fifos is not None:
            self._devices.append(("SIO", chip.fifos, self._fifos))
        self._boot_rom = BootRom(self._fifos)
        self.processors = [self._processor(0)]
        self._current = self.processors[0]
        self.asleep = threading.Event()
        """Set while the board waits for a byte."""

    @property
    def asking(self) -> int:
        """The number of the core that runs."""
        return self._current.number

    @property
    def now(self) -> int:
        """The time of the core that runs, in instructions."""
        return self._current.time

    def catch_up(self, time: int) -> None:
        """Advance the time of the core that runs to `time`, if it is earlier."""
        self._current.catch_up(time)

    def ticks(self, per_microsecond: int) -> int:
        """The time of the core that runs, in ticks of a timer with this many ticks a microsecond."""
        return self.now * per_microsecond // self._clock_mhz

    def run(self) -> NoReturn:
        """Start the chip as its boot ROM does, and run it until it faults. Raises BoardFault."""
        stack, address = 0, self._image.elf.entry
        if self._chip.vectors is not None:
            stack, address = (self._word(self._chip.vectors + offset) for offset in (0, 4))
        self.processors[0].start(address, stack)
        try:
            while True:
                self._current = self._next()
                self._current.limit(SLICE if len(self.processors) > 1 else None)
                self._current.run()
        except BoardFault:
            self._line.flush()
            raise

    def _next(self) -> Processor:
        """The core that runs next. Waits for a byte if every core waits."""
        first = self.processors[0]
        ready = [processor for processor in self.processors if processor.waits is None]
        if first.waits is Hint.SLEEP and (not ready or self._line.readable()):
            self.asleep.set()
            self._line.wait()
            self.asleep.clear()
            first.wake(first.time)
            return first
        if not ready:
            first.fault("it waits for an event, and there is nobody who could send one")
        return min(ready, key=lambda processor: processor.time)

    def _signal(self) -> None:
        """Send the other core an event. Until core 1 is launched, the boot ROM receives the event.

        The sender's turn ends with the next basic block. So what follows an event depends on nothing before it, and the
        counts of an answer are the same in every run.
        """
        if len(self.processors) == 1:
            launch = self._boot_rom.answer(self.now)
            self.processors[0].event = True
            if launch is not None:
                second = self._processor(1)
                second.start(launch.entry, launch.stack)
                second.catch_up(self.now)
                self.processors.append(second)
                self._current.limit(SLICE)
            return
        self._current.limit(0)
        other = self.processors[1 - self._current.number]
        if other.waits is Hint.WAIT:
            other.wake(self.now)
        else:
            other.event = True

    def _processor(self, number: int) -> Processor:
        stack = self._image.stacks[number]
        processor = Processor(
            number, self._chip, self._image, stack, self._memory, self._counter, self._signal, self._profile
        )
        for name, start, device in self._devices:
            processor.map_device(name, start, device)
        return processor

    def _load(self) -> None:
        for region in self._chip.regions:
            for segment in self._image.segments:
                if region.start <= segment.address < region.end:
                    offset = segment.address - region.start
                    self._memory[region.name][offset : offset + len(segment.data)] = segment.data

    def _word(self, address: int) -> int:
        """The little-endian u32 in memory at an address from the chip's description."""
        (region,) = (region for region in self._chip.regions if region.start <= address < region.end)
        return int.from_bytes(self._memory[region.name][address - region.start :][:4], "little")
