"""A compiled program, and the bytes of flash and RAM that it takes, counted from its ELF sections."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile

from tinyllm.boards.chips import Chip
from tinyllm.codegen.memory.plan import Plan
from tinyllm.codegen.memory.stack import Stack

EMPTY = re.compile(r"(?:^|[._])(?:heap|stack\d*)(?:[._]|$)|dummy")
"""Sections that are not part of the program: room for heap and stacks, and the ones with which ESP-IDF's linker scripts
skip memory that another section occupies at another address (.dram0.dummy, .flash_rodata_dummy)."""


@dataclass(frozen=True)
class Program:
    """A compiled project.

    flash, ram: bytes counted from the program's sections, None if it is not an ELF file. cache_in, state_in,
    weights_in, layout: as in the manifest. stack: the deepest of engine and console, None if unknown.
    """

    project: Path
    program: Path
    model: str
    board: str
    context: int
    model_hash: str
    build_id: str
    seconds: float
    warnings: tuple[str, ...]
    flash: int | None
    ram: int | None
    stack: Stack | None
    cache_in: str
    state_in: str
    weights_in: str
    layout: str
    plan: Plan


@dataclass(frozen=True)
class ProgramSize:
    """Sizes in bytes. flash: code, constants and initial data. ram: static variables, and code that runs from RAM."""

    flash: int
    ram: int


def program_size(program: Path, chip: Chip | None) -> ProgramSize | None:
    """Count the sections of an ELF file. None if the file is not an ELF file.

    A section at a RAM address of the chip is RAM, whatever its flags say: Arduino-Pico's .partition is writable and in
    flash, its .data holds code. Without a chip the flags decide, as in binutils' `size`. Leaves out heap and stacks.
    """
    flash = ram = 0
    try:
        with program.open("rb") as file:
            for section in ELFFile(file).iter_sections():
                flags, size = section["sh_flags"], section["sh_size"]
                if not flags & SH_FLAGS.SHF_ALLOC or EMPTY.search(section.name):
                    continue
                if section["sh_type"] != "SHT_NOBITS":
                    flash += size
                if chip.is_ram(section["sh_addr"]) if chip else flags & SH_FLAGS.SHF_WRITE:
                    ram += size
    except ELFError:
        return None
    return ProgramSize(flash, ram)
