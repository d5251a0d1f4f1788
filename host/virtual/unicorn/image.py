"""A checked chip image: it fits the chip's memory and has code at the address at which the chip starts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tinyllm.errors import UserError
from tinyllm.host.virtual.elf import Elf, Segment, read_elf
from tinyllm.host.virtual.unicorn.chips import Chip, Region

STACKS = ("tl_stack", "tl_stack1")
MACHINES = {"cortex-m0": "EM_ARM", "cortex-m33": "EM_ARM", "rv32imc": "EM_RISCV"}


@dataclass(frozen=True)
class Image:
    """A checked image.

    code_in: names of the regions that hold code. stacks: the addresses of each core's stack, empty if it is unknown.
    """

    elf: Elf
    code_in: frozenset[str]
    stacks: tuple[range, range]

    @property
    def segments(self) -> tuple[Segment, ...]:
        """What the flash holds before the chip starts."""
        return tuple(segment for segment in self.elf.segments if segment.data)

    def code_of(self, region: Region) -> range:
        """The addresses of code in a region: all of it if it is executable, else from its first function to its last.

        All of it too if the image was stripped.
        """
        found = [(start, start + size) for start, size, _ in self.elf.functions if region.start <= start < region.end]
        if region.executable or not found:
            return range(region.start, region.end)
        return range(found[0][0], found[-1][1])

    def function_at(self, address: int) -> str:
        """As Elf.function_at."""
        return self.elf.function_at(address)


def read_image(path: Path, chip: Chip) -> Image:
    """Read an ELF image for a chip. Raises UserError as read_elf, and if it does not fit the chip's memory or start."""
    elf = read_elf(path, MACHINES[chip.core], chip.name)
    room = sum(region.size for region in chip.regions)
    code_in = {region.name for region in chip.regions if region.executable}
    for segment in elf.segments:
        used = _region(chip.regions, segment.used_at, segment.size)
        if used is None or _region(chip.regions, segment.address, len(segment.data)) is None:
            part = f"{segment.size} bytes at {segment.used_at:#x}"
            raise UserError(f"{path}: {part} are outside the {chip.name}'s memory.")
        if segment.executable:
            code_in.add(used.name)
        room -= len(segment.data)
        if room < 0:
            raise UserError(f"{path}: more than the {chip.name}'s memory holds; build it again.")
    first, second = (range(elf.symbols.get(f"{name}_bottom", 0), elf.symbols.get(f"{name}_top", 0)) for name in STACKS)
    image = Image(elf, frozenset(code_in), (first, second))
    if not image.segments:
        raise UserError(f"{path}: an ELF file with nothing to load; give the firmware.elf of a build.")
    if not _starts(image, chip):
        lacking = f"code at {elf.entry:#x}" if chip.vectors is None else f"vectors of its own at {chip.vectors:#x}"
        raise UserError(
            f"{path}: no image for the {chip.name}, no {lacking}; build it for this chip, or run it on its own."
        )
    return image


def _starts(image: Image, chip: Chip) -> bool:
    """Whether the chip's start address holds code and the stack pointer that a boot ROM reads is in memory."""
    entry = image.elf.entry
    if chip.vectors is not None:
        stack, entry = (_word(image, chip.vectors + offset) for offset in (0, 4))
        # The lowest bit says that it is Thumb code.
        if not any(region.writable and region.start < stack <= region.end for region in chip.regions) or not entry & 1:
            return False
        entry -= 1
    return any(segment.address <= entry < segment.address + len(segment.data) for segment in image.segments)


def _word(image: Image, address: int) -> int:
    """Little-endian u32 of the loaded image, 0 if it has none there."""
    held = (s.data[address - s.address :] for s in image.segments if s.address <= address < s.address + len(s.data))
    return int.from_bytes(next(held, b"")[:4], "little")


def _region(regions: Iterable[Region], address: int, size: int) -> Region | None:
    return next((region for region in regions if region.start <= address and address + size <= region.end), None)
