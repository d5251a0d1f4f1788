"""One chip in the Unicorn emulator: its memory, its devices, its time, and what stops it."""

from __future__ import annotations

import ctypes
import mmap
from functools import partial
from typing import Any, NoReturn

import unicorn
from unicorn import unicorn_const as uc

from tinyllm.boards.errors import Failure
from tinyllm.host.virtual.chips import Chip
from tinyllm.host.virtual.cores import CORES
from tinyllm.host.virtual.counting import Code, MakeCounter
from tinyllm.host.virtual.devices import PAGE, Device, UnknownRegister
from tinyllm.host.virtual.image import Image
from tinyllm.host.virtual.line import Line

NEVER = 0xFFFFFFFE
"""An address at which no code lies."""
GUARD = 64 * 1024
"""An access so far below the stack is an overflow of it."""

NOT_EMULATED = "which is not emulated, in the basic block"
"""For such an access the emulator knows where its block begins, no more."""

ACCESSES = {
    uc.UC_MEM_READ_UNMAPPED: "a load from {}, where there is no memory",
    uc.UC_MEM_WRITE_UNMAPPED: "a store to {}, where there is no memory",
    uc.UC_MEM_FETCH_UNMAPPED: "a jump to {}, where there is no memory",
    uc.UC_MEM_WRITE_PROT: "a store to {}, which is flash",
    uc.UC_MEM_FETCH_PROT: "a jump to {}, which holds no code",
}


class BoardFault(Failure):
    """The firmware did what stops the chip. The message is a dump of the registers, then one line that says what."""


class Machine:
    """A chip with an image in its flash.

    `microseconds` of the board's clock are instructions divided by the clock in MHz: an emulated clock that knows no
    cycles, no waiting for flash, and stands still while the board sleeps. Where `clock_mhz` is 1 the times that the
    board reports are instructions.
    """

    def __init__(self, chip: Chip, image: Image, line: Line, counter: MakeCounter, clock_mhz: int) -> None:
        """Put the image into flash. `counter` is one of counting's; errors are those of its constructor."""
        self._chip, self._image, self._line, self._clock_mhz = chip, image, line, clock_mhz
        self._core = CORES[chip.core]
        self._engine = unicorn.Uc(self._core.arch, self._core.mode, cpu=self._core.model)
        self._trouble: str | None = None
        self._trouble_at = 0
        # The emulator uses this memory: it must not go before the machine does.
        self._memory = {region.name: memoryview(mmap.mmap(-1, region.size)) for region in chip.regions}
        code = self._map_memory()
        for device in chip.devices:
            self._map_device(device.name, device.start, device.make(line, self))
        self._engine.hook_add(uc.UC_HOOK_MEM_INVALID, self._refuse_access)
        self._engine.hook_add(uc.UC_HOOK_INTR, self._refuse_exception)
        self.counter = counter(self._engine, code, self._core.thumb)

    def ticks(self, per_microsecond: int) -> int:
        """The board's time, in ticks of a timer that makes so many a microsecond."""
        return self.counter.instructions * per_microsecond // self._clock_mhz

    def run(self) -> NoReturn:
        """Start the chip as its boot ROM does, and run it until it faults. Raises BoardFault."""
        address = self._image.entry
        if self._chip.vectors is not None:
            vectors = bytes(self._engine.mem_read(self._chip.vectors, 8))
            self._engine.reg_write(self._core.sp, int.from_bytes(vectors[:4], "little"))
            address = int.from_bytes(vectors[4:], "little")
        while True:
            self._run_until_it_sleeps(address)
            self._line.wait()
            address = self._pc()

    def _run_until_it_sleeps(self, address: int) -> None:
        try:
            self._engine.emu_start(address | self._core.code_bit, NEVER)
        except unicorn.UcError as error:
            self._fault(self._trouble or self._explain(error), self._pc())
        if self._trouble is not None:
            self._fault(self._trouble, self._trouble_at)
        if not self._sleeps():
            self._fault("the emulator stopped for no reason that it gave", self._pc())

    def _sleeps(self) -> bool:
        """Whether the last instruction was the one that waits for an interrupt."""
        size = len(self._core.sleep)
        try:
            return bytes(self._engine.mem_read(self._pc() - size, size)) == self._core.sleep
        except unicorn.UcError:
            return False

    # --- What there is ---

    def _map_memory(self) -> list[Code]:
        """Memory of this process, so that the counter sees the code as the chip does."""
        code = []
        for region in self._chip.regions:
            memory = self._memory[region.name]
            for segment in self._image.segments:
                if region.start <= segment.address < region.end:
                    offset = segment.address - region.start
                    memory[offset : offset + len(segment.data)] = segment.data
            rights = uc.UC_PROT_READ
            if region.writable:
                rights |= uc.UC_PROT_WRITE
            if region.name in self._image.code_in:
                rights |= uc.UC_PROT_EXEC
                code.append(Code(region.start, memory))
            self._engine.mem_map_ptr(
                region.start, region.size, rights, ctypes.addressof(ctypes.c_char.from_buffer(memory))
            )
        return code

    def _map_device(self, name: str, start: int, device: Device) -> None:
        read, write = partial(self._read, name, device), partial(self._write, name, device)
        self._engine.mmio_map(start, PAGE, read, None, write, None)

    def _read(self, name: str, device: Device, engine: unicorn.Uc, offset: int, size: int, data: Any) -> int:
        try:
            return device.read(offset)
        except UnknownRegister:
            self._stop(f"a load from register {offset:#x} of {name}, {NOT_EMULATED}")
            return 0

    def _write(
        self, name: str, device: Device, engine: unicorn.Uc, offset: int, size: int, value: int, data: Any
    ) -> None:
        try:
            device.write(offset, value)
        except UnknownRegister:
            self._stop(f"a store to register {offset:#x} of {name}, {NOT_EMULATED}")

    # --- What stops it ---

    def _stop(self, trouble: str) -> None:
        self._trouble, self._trouble_at = trouble, self._pc()
        self._engine.emu_stop()

    def _refuse_access(self, engine: unicorn.Uc, access: int, address: int, size: int, value: int, data: Any) -> bool:
        self._trouble = ACCESSES.get(access, "an access to {}").format(f"{address:#010x}")
        bottom = self._image.stack.start
        if self._image.stack and bottom - GUARD <= address < bottom:
            self._trouble += f": stack overflow, {bottom - address} bytes below the stack"
        return False

    def _refuse_exception(self, engine: unicorn.Uc, number: int, data: Any) -> None:
        self._stop(self._core.exceptions.get(number, f"exception {number}"))
        self._trouble_at -= self._core.overshoot

    def _explain(self, error: unicorn.UcError) -> str:
        return "an undefined instruction" if error.errno == uc.UC_ERR_INSN_INVALID else str(error)

    def _pc(self) -> int:
        return int(self._engine.reg_read(self._core.pc))

    def _fault(self, trouble: str, pc: int) -> NoReturn:
        self._line.flush()
        values = {name: int(self._engine.reg_read(number)) for name, number in self._core.registers.items()}
        values["pc"] = pc
        rows = [f"{name:>4} {value:08x} {self._image.where(value)}".rstrip() for name, value in values.items()]
        place = self._image.where(pc)
        at = f"{pc:#010x}" + (f" ({place})" if place else "")
        count = f"after {self.counter.instructions} instructions"
        raise BoardFault("\n".join([*rows, f"the virtual {self._chip.name} stopped {count}: {trouble}, at {at}"]))
