"""The weights as C tables: weights.h and weights.c, packed for a kernel set and covered by one CRC-32.

The codes of a matrix are string literals, one for each group of rows: a compiler takes some thirty times longer for a
list of numbers, and five times the memory. C99 promises literals of 4095 bytes; gcc and clang take any, MSVC 65,535.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from tinyllm.codegen.arithmetic.integer_model import IntegerBlock, IntegerGain, IntegerMatrix, IntegerModel
from tinyllm.codegen.emit.prefix import PrefixCache, prefix_cache
from tinyllm.codegen.emit.render import render, rows
from tinyllm.codegen.kernels.kernel_set import ALIGNMENT, KernelSet
from tinyllm.codegen.memory.placement import SLACK
from tinyllm.text import harmless_name

BIASES = ("bq", "bk", "bv", "bo")

CODES_PER_LINE = 32

# Bytes as they stand in a literal. Three octal digits end by themselves, whatever follows; ? could begin a trigraph.
ESCAPED = [chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}" for byte in range(256)]


@dataclass(frozen=True)
class Table:
    """One table of weights.c: `text` is what stands between the braces of its initializer.

    copied: it is a variable, which the start-up code copies from flash to RAM like any other. moved: the pointer to it,
    if the port copies it to PSRAM, else "".
    """

    name: str
    declaration: str
    text: str
    copied: bool
    moved: str = ""


class _Tables:
    """Collects arrays in the order they are written, and the CRC over their bytes as they lie in memory."""

    def __init__(self, kernels: KernelSet, copied: Collection[str], moved: Collection[str]) -> None:
        self.kernels = kernels
        self.copied = copied
        self.moved = moved
        self.tables: list[Table] = []
        self.crc = 0

    def vector(self, name: str, array: NDArray[np.generic]) -> str:
        """Its name."""
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        text = "\n".join(f"    {row}" for row in rows(array.tolist()))
        return self._add(name, f"{array.dtype.name}_t {name}[{array.size}]", text, little.tobytes())

    def codes(self, name: str, array: NDArray[np.int8]) -> str:
        """Its name; any shape."""
        memory = array.tobytes()
        return self._add(name, f"uint8_t {name}[{len(memory)}]", _literal(memory), memory)

    def matrix(self, name: str, matrix: IntegerMatrix, variable: str) -> str:
        """The initializer of its tl_matrix. variable: where that is."""
        if matrix.group_scales is None:
            groups = self.kernels.int8.pack(matrix.codes)
        else:
            groups = self.kernels.int4.pack(matrix.codes, matrix.group_scales)
        count, group_bytes = groups.shape
        text = ",\n".join(_literal(group.tobytes()) for group in groups)
        fields = f"uint8_t groups[{count}][{group_bytes}]; uint8_t slack[{SLACK}];"
        declaration = f"struct {{ {fields} }} {name}_codes TL_ALIGNED"
        memory = groups.tobytes() + bytes(SLACK)
        table = self._add(f"{name}_codes", declaration, f"{{\n{text}\n}}, {{0}}", memory, f"&{variable}.groups")
        mantissa = self.vector(f"{name}_mantissa", matrix.mantissa)
        numbers = (matrix.rows, matrix.columns, group_bytes, matrix.exponent, matrix.largest_sum(), matrix.bits)
        return f"{{{table}.groups[0], {mantissa}, {', '.join(map(str, numbers))}}}"

    def gain(self, name: str, gain: IntegerGain) -> str:
        """The initializer of its tl_gain."""
        return f"{{{self.vector(f'{name}_codes', gain.codes)}, {gain.exponent}}}"

    def _add(self, name: str, declaration: str, text: str, memory: bytes, pointer: str = "") -> str:
        self.crc = zlib.crc32(memory, self.crc)
        moved = pointer if name in self.moved else ""
        self.tables.append(Table(name, declaration, text, name in self.copied, moved))
        return name


def _literal(group: bytes) -> str:
    """The bytes as a string literal, over as many lines as it takes."""
    lines = (group[start : start + CODES_PER_LINE] for start in range(0, len(group), CODES_PER_LINE))
    return "\n".join(f'"{"".join([ESCAPED[byte] for byte in line])}"' for line in lines)


def weight_files(
    model: IntegerModel, kernels: KernelSet, copied: Collection[str] = (), moved: Collection[str] = ()
) -> dict[str, str]:
    """File name -> text of weights.h and weights.c, packed for a kernel set: the same text for the same model.

    copied: names of the tables that are copied to RAM when the board starts. moved: of those that the port copies to
    PSRAM.
    """
    tables = _Tables(kernels, copied, moved)
    embedding = tables.matrix("embedding", model.embedding, "tl_embedding")
    blocks = [_block(tables, index, block) for index, block in enumerate(model.blocks)]
    final_norm = tables.gain("final_norm", model.final_norm)
    head = None if model.head is None else tables.matrix("head", model.head, "tl_head")
    cache = prefix_cache(model)
    prefix = None if cache is None else _prefix(tables, cache)
    name = harmless_name(model.config.name)
    return {
        "weights.h": render(
            "weights.h",
            name=name,
            n_blocks=len(blocks),
            biases=[bias for bias in BIASES if getattr(model.blocks[0], bias) is not None],
            separate_head=head is not None,
            prefix=prefix,
            moved=moved,
        ),
        "weights.c": render(
            "weights.c",
            name=name,
            alignment=ALIGNMENT,
            kernel_set=kernels.name,
            tables=tables.tables,
            blocks=blocks,
            final_norm=final_norm,
            embedding=embedding,
            head=head,
            prefix=prefix,
            crc=tables.crc,
            moved=moved,
        ),
    }


def _prefix(tables: _Tables, cache: PrefixCache) -> dict[str, str]:
    """Field -> initializer of tl_prefix."""
    values = {}
    for item in fields(cache):
        array, name = getattr(cache, item.name), f"prefix_{item.name}"
        values[item.name] = tables.codes(name, array) if array.dtype == np.int8 else tables.vector(name, array.ravel())
    return values


def _block(tables: _Tables, index: int, block: IntegerBlock) -> dict[str, str]:
    """Field -> initializer of its tl_block."""
    name, values = f"block_{index}", {}
    for item in fields(block):
        part = getattr(block, item.name)
        if isinstance(part, IntegerMatrix):
            values[item.name] = tables.matrix(f"{name}_{item.name}", part, f"tl_blocks[{index}].{item.name}")
        elif isinstance(part, IntegerGain):
            values[item.name] = tables.gain(f"{name}_{item.name}", part)
        elif part is not None:
            values[item.name] = tables.vector(f"{name}_{item.name}", part)
    return values
