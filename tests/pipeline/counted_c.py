"""C functions on the core of an emulated chip: compiled with the chip's own flags, called from here, every instruction
counted. No startup code, no console: a call costs what the function costs.
"""

from __future__ import annotations

import ctypes
import json
import mmap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import unicorn
from numpy.typing import NDArray
from unicorn import arm_const as arm
from unicorn import riscv_const as riscv

from tests.pipeline.c_library import ENGINE, compile_and_link
from tinyllm.host.virtual.elf import read_elf
from tinyllm.host.virtual.unicorn.chips import CHIPS
from tinyllm.host.virtual.unicorn.core_kinds import CORES
from tinyllm.host.virtual.unicorn.image import MACHINES
from tinyllm.host.virtual.unicorn.instruction_counter import Code, CompiledCounter

BOARDS = ENGINE.parent / "platform/boards"
LINK = """
MEMORY { code : ORIGIN = %#x, LENGTH = %#x  ram : ORIGIN = %#x, LENGTH = %#x }
SECTIONS {
    .text : { *(.text*) *(.rodata*) *(.srodata*) } > code
    .data : { *(.data*) *(.sdata*) } > ram
    .bss : { *(.bss*) *(.sbss*) *(COMMON) } > ram
    _end = .;
}
"""
ARGUMENTS = {
    "thumb": [getattr(arm, f"UC_ARM_REG_R{i}") for i in range(4)],
    "risc-v": [getattr(riscv, f"UC_RISCV_REG_A{i}") for i in range(8)],
}


def compiler_of(chip: str) -> str:
    """The first compiler that the chip's board description names."""
    return str(_description(chip)["compilers"][0])


class CountedC:
    """Functions in the memory of a chip. A word of an argument list is one register, or on the stack beyond those."""

    def __init__(self, chip: str, folder: Path, files: dict[str, str], sources: Sequence[Path | str]) -> None:
        """Compile the sources in `folder`, with these files beside them (name -> text)."""
        self._chip = CHIPS[chip]
        self._code_region = next(region for region in self._chip.regions if region.executable)
        self._ram = next(region for region in self._chip.regions if region.writable)
        elf = read_elf(self._build(chip, folder, files, sources), MACHINES[self._chip.core])
        self._core = CORES[self._chip.core]
        self._registers = ARGUMENTS["thumb" if self._core.thumb else "risc-v"]
        self._engine = unicorn.Uc(self._core.arch, self._core.mode, cpu=self._core.model)
        self._memory = {region.start: self._map(region.start, region.size) for region in (self._code_region, self._ram)}
        for segment in elf.segments:
            self.write(segment.used_at, segment.data)
        self._symbols = elf.symbols
        self.free = elf.symbols["_end"] + 7 & ~7
        """The first address that the functions' own variables leave free."""
        code = Code(self._code_region.start, self._memory[self._code_region.start])
        # Where a call returns to, and the emulator stops.
        self._back = self._code_region.end - 4
        self._counter = CompiledCounter(self._engine, [code], self._core.thumb)

    def call(self, name: str, *arguments: int) -> tuple[int, int]:
        """What the function returns (uint32), and the instructions it took."""
        inside, beyond = arguments[: len(self._registers)], arguments[len(self._registers) :]
        stack = self._ram.end - 64
        self.write(stack, np.array(beyond, np.uint32).tobytes())
        for register, value in zip(self._registers, inside, strict=False):
            self._engine.reg_write(register, value)
        self._engine.reg_write(self._core.sp, stack)
        back = arm.UC_ARM_REG_LR if self._core.thumb else riscv.UC_RISCV_REG_RA
        self._engine.reg_write(back, self._back | self._core.code_bit)
        before = self._counter.instructions
        self._engine.emu_start(self._symbols[name] | self._core.code_bit, self._back)
        return int(self._engine.reg_read(self._registers[0])), self._counter.instructions - before

    def write(self, address: int, data: bytes) -> None:
        """Into the chip's memory."""
        self._engine.mem_write(address, data)

    def read(self, address: int, count: int, dtype: type[np.generic]) -> NDArray[np.generic]:
        """So many values of the chip's memory."""
        return np.frombuffer(self._engine.mem_read(address, count * np.dtype(dtype).itemsize), dtype)

    def _map(self, start: int, size: int) -> memoryview:
        memory = memoryview(mmap.mmap(-1, size))
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        self._engine.mem_map_ptr(start, size, unicorn.UC_PROT_ALL, address)
        return memory

    def _build(self, chip: str, folder: Path, files: dict[str, str], sources: Sequence[Path | str]) -> Path:
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
        build = _description(chip)
        flags = [*build["cpu_flags"].split(), *build["extra_flags"].split(), "-ffreestanding"]
        if "specs" in build:
            flags.append(f"--specs={build['specs']}")
        code, ram = self._code_region, self._ram
        script, elf = folder / "link.ld", folder / f"{chip}.elf"
        script.write_text(LINK % (code.start, code.size, ram.start, ram.size), encoding="utf-8")
        command = [
            compiler_of(chip),
            *flags,
            f"-I{folder}",
            f"-I{ENGINE}",
            "-nostartfiles",
            "-Wl,--no-gc-sections",
            f"-T{script}",
        ]
        compile_and_link(command, sources, folder, elf)
        return elf


def _description(chip: str) -> dict[str, str | list[str]]:
    return dict(json.loads((BOARDS / f"{chip}.json").read_text("utf-8"))["build"])
