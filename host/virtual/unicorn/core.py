"""One core of a chip, in its own emulator: its registers, its time, what it waits for, and what stops it.

Time is counted in instructions: those that the core has executed, plus those for which it waited for the other core.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NoReturn

import unicorn
from unicorn import unicorn_const as uc

from tinyllm.errors import Failure
from tinyllm.host.virtual.profile import OpenProfile
from tinyllm.host.virtual.unicorn.chips import Chip, Region
from tinyllm.host.virtual.unicorn.core_kinds import CORES, Hint
from tinyllm.host.virtual.unicorn.devices import PAGE, Device, UnknownRegister
from tinyllm.host.virtual.unicorn.image import Image
from tinyllm.host.virtual.unicorn.instruction_counter import NO_LIMIT, Code, MakeCounter

NEVER = 0xFFFFFFFE
"""An address at which no code lies."""
GUARD = 64 * 1024
"""An access up to this many bytes below the stack counts as a stack overflow."""

NOT_EMULATED = "which is not emulated, in the basic block"
"""For an access to a device, the emulator knows only the address at which the basic block begins."""

ACCESSES = {
    uc.UC_MEM_READ_UNMAPPED: "a load from {}, where there is no memory",
    uc.UC_MEM_WRITE_UNMAPPED: "a store to {}, where there is no memory",
    uc.UC_MEM_FETCH_UNMAPPED: "a jump to {}, where there is no memory",
    uc.UC_MEM_WRITE_PROT: "a store to {}, which is flash",
    uc.UC_MEM_FETCH_PROT: "a jump to {}, which holds no code",
}


class BoardFault(Failure):
    """The firmware faulted. The message is a dump of the registers, then one line that gives the reason."""


class Processor:
    """A core. waits: what it waits for, None if it can go on. event: its event register."""

    def __init__(
        self,
        number: int,
        chip: Chip,
        image: Image,
        stack: range,
        memory: Mapping[str, memoryview],
        counter: MakeCounter,
        signal: Callable[[], None],
        profile: OpenProfile | None = None,
    ) -> None:
        """memory: the chip's memory by region name; it must outlive this object, because the emulator uses it.

        stack: the addresses of the stack. Core 1 cannot reach the memory below its stack, which belongs to core 0.
        signal: called when this core sends the other an event. profile: if given, `counter` counts functions there.
        Raises the errors of `counter`.
        """
        self.number = number
        self.waits: Hint | None = None
        self.event = False
        self._chip, self._image, self._stack, self._signal = chip, image, stack, signal
        self._core = CORES[chip.core]
        self._engine = unicorn.Uc(self._core.arch, self._core.mode, cpu=self._core.model)
        self._trouble: str | None = None
        self._trouble_at = 0
        self._waited = 0
        self._limit = NO_LIMIT
        code = [self._map_memory(region, memory[region.name]) for region in chip.regions]
        self._engine.hook_add(uc.UC_HOOK_MEM_INVALID, self._refuse_access)
        self._engine.hook_add(uc.UC_HOOK_INTR, self._refuse_exception)
        self._hook_hints()
        self._counter = counter(
            self._engine, [part for part in code if part is not None], self._core.thumb, profile, number
        )

    @property
    def instructions(self) -> int:
        """Instructions executed so far."""
        return self._counter.instructions

    @property
    def time(self) -> int:
        """The core's time, in instructions: executed and waited."""
        return self._counter.instructions + self._waited

    def catch_up(self, time: int) -> None:
        """Advance the core's time to `time`, if it is earlier."""
        self._waited += max(time - self.time, 0)

    def start(self, address: int, stack: int) -> None:
        """Set the address at which the core begins, and its stack pointer."""
        self._engine.reg_write(self._core.sp, stack)
        self._engine.reg_write(self._core.pc, address | self._core.code_bit)

    def limit(self, instructions: int | None) -> None:
        """Make `run` return after so many more instructions; None: no limit. The core may be running already."""
        self._limit = NO_LIMIT if instructions is None else self._counter.instructions + instructions
        self._counter.stop_at(self._limit)

    def run(self) -> None:
        """Run until the core waits or reaches its limit. Raises BoardFault."""
        try:
            self._engine.emu_start(self._pc() | self._core.code_bit, NEVER)
        except unicorn.UcError as error:
            self.fault(self._trouble or self._explain(error), self._pc())
        if self._trouble is not None:
            self.fault(self._trouble, self._trouble_at)
        if self.waits is None and self._counter.instructions < self._limit:
            self.fault("the emulator stopped for no reason that it gave", self._pc())
        if self.waits is Hint.WAIT and self.event:
            self.wake(self.time)

    def wake(self, time: int) -> None:
        """End the core's wait at that time."""
        self.waits, self.event = None, False
        self.catch_up(time)

    def map_device(self, name: str, start: int, device: Device) -> None:
        """Map the registers of a device."""
        read, write = partial(self._read, name, device), partial(self._write, name, device)
        self._engine.mmio_map(start, PAGE, read, None, write, None)

    # --- Memory and devices ---

    def _map_memory(self, region: Region, memory: memoryview) -> Code | None:
        """Map memory of this process into the emulator, so that the counter reads the same code as the chip."""
        rights = uc.UC_PROT_READ
        if region.writable:
            rights |= uc.UC_PROT_WRITE
        skip = 0
        if self.number > 0 and self._stack.start in range(region.start, region.end):
            skip = (self._stack.start - region.start) // PAGE * PAGE
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        self._engine.mem_map_ptr(region.start + skip, region.size - skip, rights, address + skip)
        if region.name not in self._image.code_in:
            return None
        code = self._image.code_of(region)
        first, end = max(code.start // PAGE * PAGE, region.start + skip), -(-code.stop // PAGE) * PAGE
        self._engine.mem_protect(first, end - first, rights | uc.UC_PROT_EXEC)
        return Code(region.start, memory)

    def _hook_hints(self) -> None:
        """Hook every address at which a hint (WFI, WFE, SEV) is executed. Code that is copied to RAM is hooked there.

        A hook on constants that look like a hint does no harm: they are never executed.
        """
        for segment in self._image.segments:
            for instruction, hint in self._core.hints.items():
                at = segment.data.find(instruction)
                while at >= 0:
                    address = segment.used_at + at
                    if address % 2 == 0:
                        meet = partial(self._meet, hint, len(instruction))
                        self._engine.hook_add(uc.UC_HOOK_CODE, meet, begin=address, end=address)
                    at = segment.data.find(instruction, at + 1)

    def _meet(self, hint: Hint, size: int, engine: unicorn.Uc, address: int, *_: object) -> None:
        if hint is Hint.SIGNAL:
            self._signal()
            return
        self.waits = hint
        engine.emu_stop()
        engine.reg_write(self._core.pc, address + size | self._core.code_bit)

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

    # --- Faults ---

    def fault(self, trouble: str, pc: int | None = None) -> NoReturn:
        """Raise a BoardFault at `pc`, by default the core's program counter."""
        values = {name: int(self._engine.reg_read(number)) for name, number in self._core.registers.items()}
        values["pc"] = pc = self._pc() if pc is None else pc
        rows = [f"{name:>4} {value:08x} {self._image.function_at(value)}".rstrip() for name, value in values.items()]
        place = self._image.function_at(pc)
        at = f"{pc:#010x}" + (f" ({place})" if place else "")
        who = f"core {self.number} of the" if self.number else "the"
        gist = f"{who} virtual {self._chip.name} stopped after {self.instructions} instructions: {trouble}, at {at}"
        raise BoardFault("\n".join([*rows, gist]))

    def _stop(self, trouble: str) -> None:
        self._trouble, self._trouble_at = trouble, self._pc()
        self._engine.emu_stop()

    def _refuse_access(self, engine: unicorn.Uc, access: int, address: int, size: int, value: int, data: Any) -> bool:
        self._trouble = ACCESSES.get(access, "an access to {}").format(f"{address:#010x}")
        bottom = self._stack.start
        if self._stack and bottom - GUARD <= address < bottom:
            self._trouble += f": stack overflow, {bottom - address} bytes below the stack"
        return False

    def _refuse_exception(self, engine: unicorn.Uc, number: int, data: Any) -> None:
        self._stop(self._core.exceptions.get(number, f"exception {number}"))
        self._trouble_at -= self._core.overshoot

    def _explain(self, error: unicorn.UcError) -> str:
        return "an undefined instruction" if error.errno == uc.UC_ERR_INSN_INVALID else str(error)

    def _pc(self) -> int:
        return int(self._engine.reg_read(self._core.pc))
