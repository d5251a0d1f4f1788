"""Reads an ELF image: its segments with their addresses in a chip's memory, its functions and its symbols."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.constants import P_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from tinyllm.errors import UserError
from tinyllm.files import WEIGHTS

MAX_BYTES = 64 * 1024 * 1024
"""Larger than any flash."""


ERASED = b"\xff"
FLASH_PAGE = 4096


@dataclass(frozen=True)
class Segment:
    """A piece of the image.

    data: the bytes at `address` before the chip starts. The running program uses `size` bytes at `used_at`.
    """

    address: int
    data: bytes
    used_at: int
    size: int
    executable: bool


@dataclass(frozen=True)
class Elf:
    """A 32-bit image. entry: the address at which it begins.

    functions: (address, size, name), sorted. symbols: name -> value. Both are empty if the image was stripped.
    """

    path: Path
    entry: int
    segments: tuple[Segment, ...]
    functions: tuple[tuple[int, int, str], ...]
    symbols: dict[str, int]

    def function_at(self, address: int) -> str:
        """The function that holds an address, with the offset: "main+0x12"; "" if no function does."""
        found = bisect.bisect(self.functions, (address, 1 << 64, ""))
        if found == 0:
            return ""
        start, size, name = self.functions[found - 1]
        return f"{name}+{address - start:#x}" if address < start + max(size, 1) else ""

    def word(self, name: str, index: int = 0) -> int | None:
        """Element `index` of a constant array of u32; None if the image has no such symbol."""
        at = self.symbols.get(name)
        if at is None:
            return None
        at += 4 * index
        held = (
            part.data[at - part.used_at :][:4]
            for part in self.segments
            if part.used_at <= at < part.used_at + part.size
        )
        return int.from_bytes(next(held, b""), "little")

    def weights(self) -> tuple[int, bytes] | None:
        """The weights beside the program: the address at which it looks for them, and the bytes there.

        The bytes are those of the file beside the image; without a file, those of erased flash. None if the weights are
        in the program. Raises UserError if the file is longer than the room for it.
        """
        address, room = self.word("tl_weights_place"), self.word("tl_weights_place", 1)
        if address is None or room is None:
            return None
        path = self.path.with_name(WEIGHTS)
        if not path.is_file():
            return address, ERASED * min(room, FLASH_PAGE)
        if path.stat().st_size > room:
            raise UserError(f"{path}: {path.stat().st_size:,} bytes, the board has room for {room:,}.")
        return address, path.read_bytes()

    def flash(self, start: int, size: int) -> bytes:
        """The flash of `size` bytes at `start`, up to the last used byte. Erased bytes are FF.

        Raises UserError if part of the image lies outside it.
        """
        stored = [segment for segment in self.segments if segment.data]
        end = max((segment.address + len(segment.data) for segment in stored), default=start)
        if end > start + size or any(segment.address < start for segment in stored):
            raise UserError(f"{self.path}: not all of it is in the flash of this board, {size} bytes at {start:#010x}.")
        flash = bytearray(b"\xff" * (end - start))
        for segment in stored:
            at = segment.address - start
            flash[at : at + len(segment.data)] = segment.data
        return bytes(flash)


def read_elf(path: Path, machine: str | None = None, chip: str = "") -> Elf:
    """Read an image for `machine`: EM_ARM, EM_RISCV or EM_XTENSA, None for any. chip: the chip's name, for errors.

    Raises UserError for a file that is missing, damaged, too large, or for another machine.
    """
    with _opened(path) as elf:
        if elf["e_machine"] != (machine or elf["e_machine"]) or elf.elfclass != 32 or not elf.little_endian:
            wanted = f"{machine}, the {chip}" if chip else machine or "a 32-bit chip"
            raise UserError(f"{path}: an image for {elf['e_machine']}, not for {wanted}.")
        parts = [part for part in elf.iter_segments("PT_LOAD") if part["p_memsz"]]
        # Segments may share bytes of the file, so together they can be far larger than the file.
        if sum(part["p_filesz"] for part in parts) > MAX_BYTES:
            raise UserError(f"{path}: its segments are larger than any flash; give the firmware.elf of a build.")
        segments = tuple(
            Segment(
                address=part["p_paddr"],
                data=part.data(),
                used_at=part["p_vaddr"],
                size=part["p_memsz"],
                executable=bool(part["p_flags"] & P_FLAGS.PF_X),
            )
            for part in parts
        )
        return Elf(path, elf["e_entry"], segments, *_symbols(elf))


@contextmanager
def _opened(path: Path) -> Iterator[ELFFile]:
    """The opened file. Errors while it is read become UserErrors."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path}: larger than any image; give the firmware.elf of a build.")
        with path.open("rb") as file:
            yield ELFFile(file)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from None
    except UserError:
        raise
    except Exception:  # a damaged file can make pyelftools raise any exception
        raise UserError(f"{path}: not a whole ELF image; build it again.") from None


def _symbols(elf: ELFFile) -> tuple[tuple[tuple[int, int, str], ...], dict[str, int]]:
    """Elf.functions and Elf.symbols."""
    table = elf.get_section_by_name(".symtab")
    functions, values = [], {}
    for symbol in table.iter_symbols() if isinstance(table, SymbolTableSection) else ():
        values[symbol.name] = symbol["st_value"]
        if symbol["st_info"]["type"] == "STT_FUNC":
            # Bit 0 of an Arm function's address says that it is Thumb code; it is no part of the place.
            functions.append((symbol["st_value"] & ~1, symbol["st_size"], symbol.name))
    return tuple(sorted(functions)), values
