"""What both readers of ELF images share: opening a file that may be anything, and the names of its functions."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from tinyllm.errors import UserError

MAX_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Symbols:
    """functions: (address, size, name), sorted. values: of every symbol, by its name."""

    functions: tuple[tuple[int, int, str], ...]
    values: dict[str, int]

    def where(self, address: int) -> str:
        """The function that an address is in, with the offset, or nothing."""
        found = bisect.bisect(self.functions, (address, 1 << 64, ""))
        if found == 0:
            return ""
        start, size, name = self.functions[found - 1]
        return f"{name}+{address - start:#x}" if address < start + max(size, 1) else ""


@contextmanager
def open_elf(path: Path) -> Iterator[ELFFile]:
    """An ELF file to read from. Raises UserError for what cannot be read, is too large, or turns out to be damaged."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path}: larger than any image; give the firmware.elf of a build.")
        with path.open("rb") as file:
            yield ELFFile(file)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from None
    except UserError:
        raise
    except Exception:  # pyelftools raises whatever a damaged file leads it to
        raise UserError(f"{path}: not a whole ELF image; build it again.") from None


def read_symbols(elf: ELFFile) -> Symbols:
    """All symbols of an image; none where it was stripped of them."""
    table = elf.get_section_by_name(".symtab")
    functions, values = [], {}
    for symbol in table.iter_symbols() if isinstance(table, SymbolTableSection) else ():
        values[symbol.name] = symbol["st_value"]
        if symbol["st_info"]["type"] == "STT_FUNC":
            # Bit 0 of an Arm function's address is its instruction set, not its place.
            functions.append((symbol["st_value"] & ~1, symbol["st_size"], symbol.name))
    return Symbols(tuple(sorted(functions)), values)
