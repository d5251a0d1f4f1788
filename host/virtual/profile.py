"""A profile: what each function of an image executed while tokens were made, counted by the emulator.

A profile is a folder with two files, in the same format for every emulator:

    functions   text, written first: a line with the numbers of functions and parts, then a line for each function:
                address, size, part (parts.py), role (1 a root, 2 a veneer, else 0), name. Function 0 stands for all
                code that lies in no other.
    counts      u64 little-endian (2 cores, parts, functions): instructions or cycles so far

An emulator counts from the entry of a root to its return (profile.h). It writes the counts of a reply's work before it
sends the reply, so the counts can be read as soon as the reply has come.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinyllm.files import write_file
from tinyllm.host.virtual.elf import Elf
from tinyllm.host.virtual.parts import ROOTS, Part, part_of

FUNCTIONS, COUNTS = "functions", "counts"
CORES = 2
BEYOND = 2**32
"""Larger than every address."""
ELSEWHERE = "(no symbol)"
VENEER = re.compile(r"__.*_veneer")
"""The name that GNU ld gives to a veneer: the few instructions that call an Arm function that is too far away."""
ROOT, PASSES = 1, 2
"""Roles of functions: a root (parts.ROOTS), and a veneer."""


@dataclass(frozen=True)
class Function:
    """A function of the image. role: ROOT, PASSES for a veneer, else 0."""

    address: int
    size: int
    part: Part
    role: int
    name: str


Counts = Mapping[Part, Mapping[str, float]]
"""The counts of one core: part -> function -> what it executed for that part."""


class Profile:
    """The profile in a folder."""

    def __init__(self, folder: Path) -> None:
        """Read the functions that `create` wrote."""
        self.folder = folder
        lines = (folder / FUNCTIONS).read_text("utf-8").splitlines()[1:]
        self.functions = tuple(_function(line) for line in lines)

    @classmethod
    def create(cls, folder: Path, elf: Elf) -> Profile:
        """Write both files for an image, all counts 0."""
        functions = [Function(0, 0, Part.CALLER, 0, ELSEWHERE)]
        for (address, size, name), (following, _, _) in pairwise([*elf.functions, (BEYOND, 0, "")]):
            # Several names at one address: take the last. Assembly may have no size: it ends at the next function.
            if following > address and (size or following < BEYOND):
                size = size or following - address
                functions.append(Function(address, size, part_of(name) or Part.CALLER, _role(name), name))
        rows = [f"{len(functions)} {len(Part)}"]
        rows += [f"{each.address} {each.size} {each.part:d} {each.role} {each.name}" for each in functions]
        write_file(folder / FUNCTIONS, "\n".join(rows).encode() + b"\n")
        write_file(folder / COUNTS, bytes(8 * CORES * len(Part) * len(functions)))
        return cls(folder)

    @property
    def counts_file(self) -> Path:
        return self.folder / COUNTS

    def counts(self) -> NDArray[np.uint64]:
        """The counts so far: u64 (cores, parts, functions)."""
        shape = (CORES, len(Part), len(self.functions))
        return np.frombuffer(self.counts_file.read_bytes(), np.uint64).reshape(shape)

    def named(self, counts: NDArray[np.uint64]) -> tuple[Counts, ...]:
        """For each core the functions that executed anything. counts: from `counts`, or a difference of two of them."""
        return tuple(
            {
                part: {self.functions[i].name: int(row[i]) for i in np.flatnonzero(row)}
                for part, row in zip(Part, core, strict=True)
                if row.any()
            }
            for core in counts
        )


class OpenProfile:
    """A profile that an emulator in this process writes: `counts` is the file itself, mapped into memory.

    counts: u64 (cores, parts, functions). part_of: u8 (functions,). root: u64 (functions,), as in profile.h.
    """

    def __init__(self, folder: Path) -> None:
        profile = Profile(folder)
        self._functions = profile.functions
        shape = (CORES, len(Part), len(self._functions))
        self.counts = np.memmap(profile.counts_file, np.uint64, "r+", shape=shape)
        self.part_of = np.array([each.part for each in self._functions], np.uint8)
        roots = ({ROOT: each.address, PASSES: 2**64 - 1}.get(each.role, 0) for each in self._functions)
        self.root = np.fromiter(roots, np.uint64)

    def by_halfword(self, start: int, size: int) -> NDArray[np.uint16]:
        """The number of the function at each halfword of `size` bytes of memory; 0 for none."""
        found = np.zeros(size // 2, np.uint16)
        for number, each in enumerate(self._functions):
            if number and start <= each.address < start + size:
                first = (each.address - start) // 2
                found[first : first + -(-each.size // 2)] = number
        return found


def _role(name: str) -> int:
    return ROOT if name in ROOTS else PASSES if VENEER.fullmatch(name) else 0


def _function(line: str) -> Function:
    address, size, part, role, name = line.split(" ", 4)
    return Function(int(address), int(size), Part(int(part)), int(role), name)
