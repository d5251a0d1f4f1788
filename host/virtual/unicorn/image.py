"""Reads and checks a chip's image: it must fit the chip's memory and have code where the chip starts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from tinyllm.errors import UserError
from tinyllm.host.virtual.elf import Elf, Segment, read_elf
from tinyllm.host.virtual.unicorn.chips import Chip, Region

LARGEST_FLASH = 16 * 1024 * 1024
"""The largest flash of all boards that are emulated here."""
STACKS = ("tl_stack", "tl_stack1")
MACHINES = {"cortex-m0": "EM_ARM", "cortex-m33": "EM_ARM", "rv32imc": "EM_RISCV"}


@dataclass(frozen=True)
class Image:
    """A checked image.

    chip: the chip that it is for, with enough flash for weights beside the program. code_in: names of the regions that
    hold code. stacks: the addresses of each core's stack, empty if unknown. weights: the weights beside the program, as
    a segment; None if they are in it.
    """

    chip: Chip
    elf: Elf
    code_in: frozenset[str]
    stacks: tuple[range, range]
    weights: Segment | None = None

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The segments that are in flash before the chip starts."""
        beside = [] if self.weights is None else [self.weights]
        return (*(segment for segment in self.elf.segments if segment.data), *beside)

    def code_of(self, region: Region) -> range:
        """The addresses of code in a region: from its first function to the end of its last.

        The whole region if the region is executable, or the image was stripped.
        """
        found = [(start, start + size) for start, size, _ in self.elf.functions if region.start <= start < region.end]
        if region.executable or not found:
            return range(region.start, region.end)
        return range(found[0][0], found[-1][1])

    def function_at(self, address: int) -> str:
        """As Elf.function_at."""
        return self.elf.function_at(address)


def read_image(path: Path, chip: Chip) -> Image:
    """Read an ELF image for a chip. Raises UserError as read_elf, and if it does not fit the chip or cannot start."""
    elf = read_elf(path, MACHINES[chip.core], chip.name)
    chip = _with_room_for_weights(chip, elf)
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
    image = Image(chip, elf, frozenset(code_in), (first, second), _weights(elf, chip))
    if not image.segments:
        raise UserError(f"{path}: an ELF file with nothing to load; give the firmware.elf of a build.")
    if not _starts(image, chip):
        lacking = f"code at {elf.entry:#x}" if chip.vectors is None else f"vectors of its own at {chip.vectors:#x}"
        raise UserError(
            f"{path}: no image for the {chip.name}, no {lacking}; build it for this chip, or run it on its own."
        )
    return image


def _with_room_for_weights(chip: Chip, elf: Elf) -> Chip:
    """The chip with as much flash as the program's board has: the program says where its room for weights ends."""
    first, room = elf.word("tl_weights_place"), elf.word("tl_weights_place", 1)
    if first is None or room is None:
        return chip
    regions = tuple(
        replace(region, size=max(region.size, min(first + room - region.start, LARGEST_FLASH)))
        if region.start <= first < region.end
        else region
        for region in chip.regions
    )
    return replace(chip, regions=regions)


def _weights(elf: Elf, chip: Chip) -> Segment | None:
    """The weights beside the program. Raises UserError if they do not fit the flash, or overlap the program."""
    found = elf.weights()
    if found is None:
        return None
    address, data = found
    if _region(chip.regions, address, len(data)) is None:
        raise UserError(
            f"{elf.path}: {len(data)} bytes of weights at {address:#x} are outside the {chip.name}'s memory."
        )
    if any(part.address < address + len(data) and address < part.address + len(part.data) for part in elf.segments):
        raise UserError(f"{elf.path}: the program reaches into its weights at {address:#x}.")
    return Segment(address, data, address, len(data), executable=False)


def _starts(image: Image, chip: Chip) -> bool:
    """Whether there is code at the chip's start address, and the first stack pointer of its vectors is in memory."""
    entry = image.elf.entry
    if chip.vectors is not None:
        stack, entry = (_word(image, chip.vectors + offset) for offset in (0, 4))
        # The lowest bit of the reset handler's address says that it is Thumb code.
        if not any(region.writable and region.start < stack <= region.end for region in chip.regions) or not entry & 1:
            return False
        entry -= 1
    return any(segment.address <= entry < segment.address + len(segment.data) for segment in image.segments)


def _word(image: Image, address: int) -> int:
    """The little-endian u32 at an address of the loaded image; 0 if the image has nothing there."""
    held = (s.data[address - s.address :] for s in image.segments if s.address <= address < s.address + len(s.data))
    return int.from_bytes(next(held, b"")[:4], "little")


def _region(regions: Iterable[Region], address: int, size: int) -> Region | None:
    return next((region for region in regions if region.start <= address and address + size <= region.end), None)
