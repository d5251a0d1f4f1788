"""An ELF image for an emulator that is a program of its own: what its flash holds, and the names of its functions."""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from tinyllm.boards.errors import UserError

MAX_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Program:
    """functions: (address, size, name), sorted. segments: (address, data) of what is there before the chip starts."""

    path: Path
    functions: tuple[tuple[int, int, str], ...]
    segments: tuple[tuple[int, bytes], ...]

    def where(self, address: int) -> str:
        """The function that an address is in, with the offset, or nothing."""
        found = bisect.bisect(self.functions, (address, 1 << 64, ""))
        if found == 0:
            return ""
        start, size, name = self.functions[found - 1]
        return f"{name}+{address - start:#x}" if address < start + max(size, 1) else ""

    def flash(self, start: int, size: int) -> bytes:
        """The flash of `size` bytes at `start`, up to the last byte that is used; an erased one is FF.

        Raises UserError for an image that lies elsewhere.
        """
        end = max((address + len(data) for address, data in self.segments), default=start)
        if end > start + size or any(address < start for address, _ in self.segments):
            raise UserError(f"{self.path}: not all of it is in the flash of this board, {size} bytes at {start:#010x}.")
        flash = bytearray(b"\xff" * (end - start))
        for address, data in self.segments:
            flash[address - start : address - start + len(data)] = data
        return bytes(flash)


def read_program(path: Path, machine: str) -> Program:
    """Read an ELF image for `machine` (EM_ARM, EM_XTENSA). Raises UserError for a file that is none."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path}: larger than any image; give the firmware.elf of a build.")
        with path.open("rb") as file:
            elf = ELFFile(file)
            if elf["e_machine"] != machine:
                raise UserError(f"{path}: an image for {elf['e_machine']}, not for {machine}.")
            loaded = [(part["p_paddr"], part.data()) for part in elf.iter_segments("PT_LOAD") if part["p_filesz"]]
            table = elf.get_section_by_name(".symtab")
            symbols = list(table.iter_symbols()) if isinstance(table, SymbolTableSection) else []
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from None
    except UserError:
        raise
    except Exception:  # pyelftools raises whatever a damaged file leads it to
        raise UserError(f"{path}: not a whole ELF image; build it again.") from None
    functions = (
        # Bit 0 of an Arm function's address is its instruction set, not its place.
        (symbol["st_value"] & ~1, symbol["st_size"], symbol.name)
        for symbol in symbols
        if symbol["st_info"]["type"] == "STT_FUNC"
    )
    return Program(path, tuple(sorted(functions)), tuple(loaded))
