"""Counts executed instructions exactly, at every basic block that the emulator enters.

A callback in C slows the emulation little; this computer's C compiler compiles it once. Without a compiler Python
counts, which is far slower.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import unicorn
from unicorn.unicorn_py3.unicorn import uclib

from tinyllm.host.virtual.profile import OpenProfile
from tinyllm.host.virtual.shared_library import shared_library

SOURCES = (Path(__file__).with_name("counter.c"), Path(__file__).parent.with_name("profile.h"))
MAX_MEMORIES = 4
NO_LIMIT = 2**64 - 1


@dataclass(frozen=True)
class Code:
    """Memory with code. start: its address in the chip. bytes: its content in this process."""

    start: int
    bytes: memoryview


def _fields(kind: Any, *names: str) -> Iterator[tuple[str, Any]]:
    """Fields of one type, for the _fields_ of a ctypes Structure."""
    return ((name, kind) for name in names)


class _Memory(ctypes.Structure):
    _fields_ = (
        *_fields(ctypes.c_uint64, "start", "end"),
        ("bytes", ctypes.c_void_p),
        ("blocks", ctypes.POINTER(ctypes.c_uint32)),
        ("functions", ctypes.c_void_p),
    )


class _Profile(ctypes.Structure):
    _fields_ = (
        *_fields(ctypes.c_void_p, "counts", "part_of", "root"),
        *_fields(ctypes.c_uint64, "functions", "part", "back", "end"),
    )


class _Counter(ctypes.Structure):
    _fields_ = (
        *_fields(ctypes.c_uint64, "instructions", "limit"),
        ("stop", ctypes.c_void_p),
        ("thumb", ctypes.c_uint64),
        ("profile", ctypes.POINTER(_Profile)),
        ("n", ctypes.c_uint64),
        ("code", _Memory * MAX_MEMORIES),
    )


class CompiledCounter:
    """Counts in C. Raises UserError as shared_library, for instance without a C compiler."""

    def __init__(
        self,
        engine: unicorn.Uc,
        code: Sequence[Code],
        thumb: bool,
        profile: OpenProfile | None = None,
        core: int = 0,
    ) -> None:
        """profile: if given, also count there what each function executes, as core `core`."""
        library = ctypes.CDLL(str(shared_library(*SOURCES)))
        stop = ctypes.cast(uclib.uc_emu_stop, ctypes.c_void_p)
        self._counter = _Counter(0, NO_LIMIT, stop, thumb, None, len(code))
        self._kept: list[object] = [profile]
        if profile is not None:
            self._counter.profile = ctypes.pointer(self._open(profile, core))
        for i, memory in enumerate(code):
            address = ctypes.addressof(ctypes.c_char.from_buffer(memory.bytes))
            size = len(memory.bytes)
            blocks = (ctypes.c_uint32 * (size // 2))()
            functions = None
            if profile is not None:
                functions = self._keep(profile.by_halfword(memory.start, size))
            self._counter.code[i] = _Memory(memory.start, memory.start + size, address, blocks, functions)
        # The binding's hook_add takes only Python functions.
        status = uclib.uc_hook_add(
            engine._uch,
            ctypes.byref(ctypes.c_size_t()),
            unicorn.UC_HOOK_BLOCK,
            ctypes.cast(library.count_block, ctypes.c_void_p),
            ctypes.cast(ctypes.byref(self._counter), ctypes.c_void_p),
            ctypes.c_uint64(1),
            ctypes.c_uint64(0),
        )
        if status != unicorn.UC_ERR_OK:
            raise unicorn.UcError(status)

    def _open(self, profile: OpenProfile, core: int) -> _Profile:
        return _Profile(
            counts=profile.counts[core].ctypes.data,
            part_of=self._keep(profile.part_of),
            root=self._keep(profile.root),
            functions=len(profile.part_of),
        )

    def _keep(self, array: np.ndarray[Any, Any]) -> int:
        """The address of an array, which is kept alive as long as this counter."""
        self._kept.append(array)
        return array.ctypes.data

    @property
    def instructions(self) -> int:
        """Instructions executed so far, including the basic block under way."""
        return int(self._counter.instructions)

    def stop_at(self, instructions: int) -> None:
        """Stop the engine after the basic block that reaches this count, and after every later block."""
        self._counter.limit = min(instructions, NO_LIMIT)


class PythonCounter:
    """Counts in Python. A profile stays empty."""

    def __init__(
        self,
        engine: unicorn.Uc,
        code: Sequence[Code],
        thumb: bool,
        profile: OpenProfile | None = None,
        core: int = 0,
    ) -> None:
        self.instructions = 0
        self._limit = NO_LIMIT
        self._code, self._thumb = code, thumb
        self._blocks: dict[tuple[int, int], int] = {}
        engine.hook_add(unicorn.UC_HOOK_BLOCK, self._enter)

    def _enter(self, engine: unicorn.Uc, address: int, size: int, data: Any) -> None:
        count = self._blocks.get((address, size))
        if count is None:
            count = self._blocks[address, size] = self._count(address, size)
        self.instructions += count
        if self.instructions >= self._limit:
            engine.emu_stop()

    def stop_at(self, instructions: int) -> None:
        """As CompiledCounter.stop_at."""
        self._limit = instructions

    def _count(self, address: int, size: int) -> int:
        for memory in self._code:
            if memory.start <= address and address + size <= memory.start + len(memory.bytes):
                block = memory.bytes[address - memory.start : address - memory.start + size]
                count = at = 0
                while at < size:
                    wide = block[at + 1] >= 0xE8 if self._thumb else block[at] & 3 == 3
                    at += 4 if wide else 2
                    count += 1
                return count
        return 0


Counter = CompiledCounter | PythonCounter
MakeCounter = Callable[[unicorn.Uc, Sequence[Code], bool, OpenProfile | None, int], Counter]
