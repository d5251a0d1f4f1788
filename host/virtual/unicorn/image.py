"""A chip image: what of an ELF file goes to memory, where its stack is, and the names of its functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.constants import P_FLAGS
from elftools.elf.elffile import ELFFile

from tinyllm.errors import UserError
from tinyllm.host.virtual.symbols import Symbols, open_elf, read_symbols
from tinyllm.host.virtual.unicorn.chips import Chip, Region

STACKS = ("tl_stack", "tl_stack1")
MACHINES = {"cortex-m0": "EM_ARM", "cortex-m33": "EM_ARM", "rv32imc": "EM_RISCV"}


@dataclass(frozen=True)
class Segment:
    """Bytes that the flash holds at `address` before the chip starts."""

    address: int
    data: bytes


@dataclass(frozen=True)
class Image:
    """A checked image.

    code_in: names of the regions that hold code. stacks: the addresses of each core's, none where it is unknown.
    """

    segments: tuple[Segment, ...]
    entry: int
    code_in: frozenset[str]
    stacks: tuple[range, range]
    symbols: Symbols

    def where(self, address: int) -> str:
        """The function that an address is in, with the offset, or nothing."""
        return self.symbols.where(address)


def read_image(path: Path, chip: Chip) -> Image:
    """Read an ELF image for a chip. Raises UserError for a file that is none, or does not fit its memory or start."""
    with open_elf(path) as elf:
        return _read(elf, path, chip)


def _read(elf: ELFFile, path: Path, chip: Chip) -> Image:
    machine, wanted = elf["e_machine"], MACHINES[chip.core]
    if machine != wanted or elf.elfclass != 32 or not elf.little_endian:
        raise UserError(f"{path}: an image for {machine}, not for {wanted}, the {chip.name}.")
    segments: list[Segment] = []
    room = sum(region.size for region in chip.regions)
    code_in = {region.name for region in chip.regions if region.executable}
    for segment in elf.iter_segments("PT_LOAD"):
        if segment["p_memsz"] == 0:
            continue
        used = _region(chip.regions, segment["p_vaddr"], segment["p_memsz"])
        loaded = _region(chip.regions, segment["p_paddr"], segment["p_filesz"])
        if used is None or loaded is None:
            raise UserError(
                f"{path}: {segment['p_memsz']} bytes at {segment['p_vaddr']:#x} are outside the {chip.name}'s memory."
            )
        if segment["p_flags"] & P_FLAGS.PF_X:
            code_in.add(used.name)
        room -= segment["p_filesz"]
        if room < 0:
            raise UserError(f"{path}: more than the {chip.name}'s memory holds; build it again.")
        if segment["p_filesz"]:
            segments.append(Segment(segment["p_paddr"], segment.data()))
    if not segments:
        raise UserError(f"{path}: an ELF file with nothing to load; give the firmware.elf of a build.")
    if not _starts(segments, elf["e_entry"], chip):
        lacking = f"code at {elf['e_entry']:#x}" if chip.vectors is None else f"vectors of its own at {chip.vectors:#x}"
        raise UserError(
            f"{path}: no image for the {chip.name}, no {lacking}; build it for this chip, or run it on its own."
        )
    symbols = read_symbols(elf)
    first, second = (
        range(symbols.values.get(f"{name}_bottom", 0), symbols.values.get(f"{name}_top", 0)) for name in STACKS
    )
    return Image(tuple(segments), elf["e_entry"], frozenset(code_in), (first, second), symbols)


def _starts(segments: Sequence[Segment], entry: int, chip: Chip) -> bool:
    """Whether there is code where the chip begins, and a stack pointer of its memory where the boot ROM reads both."""
    if chip.vectors is not None:
        stack, entry = (_word(segments, chip.vectors + offset) for offset in (0, 4))
        # The lowest bit says that it is Thumb code.
        if not any(region.writable and region.start < stack <= region.end for region in chip.regions) or not entry & 1:
            return False
        entry -= 1
    return any(segment.address <= entry < segment.address + len(segment.data) for segment in segments)


def _word(segments: Sequence[Segment], address: int) -> int:
    """Little-endian u32 of the loaded image, 0 where it has none there."""
    held = (s.data[address - s.address :] for s in segments if s.address <= address < s.address + len(s.data))
    return int.from_bytes(next(held, b"")[:4], "little")


def _region(regions: Iterable[Region], address: int, size: int) -> Region | None:
    return next((region for region in regions if region.start <= address and address + size <= region.end), None)
