"""A chip image: what of an ELF file goes to memory, where its stack is, and the names of its functions."""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.constants import P_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from tinyllm.boards.errors import UserError
from tinyllm.host.virtual.chips import Chip, Region

MAX_BYTES = 64 * 1024 * 1024
MACHINES = {"cortex-m0": "EM_ARM", "cortex-m33": "EM_ARM", "rv32imc": "EM_RISCV"}


@dataclass(frozen=True)
class Segment:
    """Bytes that the flash holds at `address` before the chip starts."""

    address: int
    data: bytes


@dataclass(frozen=True)
class Image:
    """A checked image.

    code_in: names of the regions that hold code. stack: its addresses, none where it is unknown.
    functions: (address, size, name), sorted.
    """

    segments: tuple[Segment, ...]
    entry: int
    code_in: frozenset[str]
    stack: range
    functions: tuple[tuple[int, int, str], ...]

    def where(self, address: int) -> str:
        """The function that an address is in, with the offset, or nothing."""
        found = bisect.bisect(self.functions, (address, 1 << 64, ""))
        if found == 0:
            return ""
        start, size, name = self.functions[found - 1]
        return f"{name}+{address - start:#x}" if address < start + max(size, 1) else ""


def read_image(path: Path, chip: Chip) -> Image:
    """Read an ELF image for a chip. Raises UserError for a file that is none, or does not fit its memory."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path}: larger than any image for the {chip.name}; give the firmware.elf of a build.")
        with path.open("rb") as file:
            return _read(ELFFile(file), path, chip)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from None
    except UserError:
        raise
    except Exception:  # pyelftools raises whatever a damaged file leads it to
        raise UserError(f"{path}: not a whole ELF image; build it again.") from None


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
    functions, values = _symbols(elf)
    stack = range(values.get("tl_stack_bottom", 0), values.get("tl_stack_top", 0))
    return Image(tuple(segments), elf["e_entry"], frozenset(code_in), stack, functions)


def _region(regions: Iterable[Region], address: int, size: int) -> Region | None:
    return next((region for region in regions if region.start <= address and address + size <= region.end), None)


def _symbols(elf: ELFFile) -> tuple[tuple[tuple[int, int, str], ...], dict[str, int]]:
    """The functions of an image, and the value of every symbol."""
    table = elf.get_section_by_name(".symtab")
    functions, values = [], {}
    for symbol in table.iter_symbols() if isinstance(table, SymbolTableSection) else ():
        values[symbol.name] = symbol["st_value"]
        if symbol["st_info"]["type"] == "STT_FUNC":
            # Bit 0 of an Arm function's address is its instruction set, not its place.
            functions.append((symbol["st_value"] & ~1, symbol["st_size"], symbol.name))
    return tuple(sorted(functions)), values
