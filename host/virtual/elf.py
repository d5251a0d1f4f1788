"""An ELF image for an emulator that is a program of its own: what its flash holds, and the names of its functions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tinyllm.errors import UserError
from tinyllm.host.virtual.symbols import MAX_BYTES, Symbols, open_elf, read_symbols


@dataclass(frozen=True)
class Elf:
    """segments: (address, data) of what is there before the chip starts."""

    path: Path
    symbols: Symbols
    segments: tuple[tuple[int, bytes], ...]

    def where(self, address: int) -> str:
        """The function that an address is in, with the offset, or nothing."""
        return self.symbols.where(address)

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


def read_program(path: Path, machine: str) -> Elf:
    """Read an ELF image for `machine` (EM_ARM, EM_XTENSA). Raises UserError for a file that is none."""
    with open_elf(path) as elf:
        if elf["e_machine"] != machine:
            raise UserError(f"{path}: an image for {elf['e_machine']}, not for {machine}.")
        parts = [part for part in elf.iter_segments("PT_LOAD") if part["p_filesz"]]
        # Segments may share bytes of the file: together they can be far more than it is long.
        if sum(part["p_filesz"] for part in parts) > MAX_BYTES:
            raise UserError(f"{path}: its segments are larger than any flash; give the firmware.elf of a build.")
        return Elf(path, read_symbols(elf), tuple((part["p_paddr"], part.data()) for part in parts))
