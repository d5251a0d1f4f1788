"""Emit the weights: as C tables in weights.h and weights.c, or with only the structures there and an image of tables.

Both forms have the same tables in the same order, packed for a kernel set and covered by one CRC-32. In C the codes of
a matrix are string literals, one for each group of rows: a compiler takes some thirty times longer for a list of
numbers, and five times the memory. C99 promises literals of 4095 bytes; gcc and clang take any, MSVC 65,535.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyllm.codegen.arithmetic.integer_model import IntegerBlock, IntegerGain, IntegerMatrix, IntegerModel
from tinyllm.codegen.emit.prefix import PrefixCache, prefix_cache
from tinyllm.codegen.emit.render import render, rows
from tinyllm.codegen.kernels.kernel_set import ALIGNMENT, KernelSet
from tinyllm.codegen.memory.placement import SLACK
from tinyllm.codegen.memory.weights_image import END as IMAGE_END
from tinyllm.codegen.memory.weights_image import FORMAT, HEADER_BYTES, OFFSETS, layout_hash, table_bytes, write_image
from tinyllm.codegen.memory.weights_image import MAGIC as IMAGE_MAGIC
from tinyllm.text import harmless_name

BIASES = ("bq", "bk", "bv", "bo")

CODES_PER_LINE = 32

# Each byte in a literal. Three octal digits end by themselves, whatever follows; ? could begin a trigraph.
ESCAPED = [chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}" for byte in range(256)]


@dataclass(frozen=True)
class Table:
    """One table. text: when called, makes the text between the braces of its initializer in weights.c.

    memory: its bytes. pointer: the C that gives the address of the pointer to it. copied: whether it is copied to RAM
    at the start. moved: whether the port copies it to PSRAM.
    """

    name: str
    declaration: str
    text: Callable[[], str]
    memory: bytes
    pointer: str
    copied: bool
    moved: bool


class _Tables:
    """Collects arrays in the order they are written, and the CRC over their bytes as they lie in memory.

    apart: the tables are for an image. The board learns their addresses and all numbers when it has found the image.
    """

    def __init__(
        self, kernels: KernelSet, copied: Collection[str], moved: Collection[str], apart: bool = False
    ) -> None:
        self.kernels = kernels
        self.copied = copied
        self.moved = moved
        self.apart = apart
        self.tables: list[Table] = []
        self.numbers: list[tuple[str, int]] = []
        """The numbers of an image: the variable of each, and its value."""
        self.crc = 0

    def vector(self, name: str, array: NDArray[np.generic], pointer: str) -> str:
        """Add a vector and return the initializer of the pointer to it. pointer: the address of that pointer."""
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))

        def text() -> str:
            return "\n".join(f"    {row}" for row in rows(array.tolist()))

        return self._add(name, f"{array.dtype.name}_t {name}[{array.size}]", text, little.tobytes(), pointer)

    def codes(self, name: str, array: NDArray[np.int8], pointer: str) -> str:
        """The same for int8 codes of any shape."""
        memory = array.tobytes()
        return self._add(name, f"uint8_t {name}[{len(memory)}]", lambda: _literal(memory), memory, pointer)

    def matrix(self, name: str, matrix: IntegerMatrix, variable: str) -> str:
        """Add a matrix and return the initializer of its tl_matrix. variable: that tl_matrix."""
        if matrix.group_scales is None:
            groups = self.kernels.int8.pack(matrix.codes)
        else:
            groups = self.kernels.int4.pack(matrix.codes, matrix.group_scales)
        count, group_bytes = groups.shape

        def text() -> str:
            return "{\n" + ",\n".join(_literal(group.tobytes()) for group in groups) + "\n}, {0}"

        fields = f"uint8_t groups[{count}][{group_bytes}]; uint8_t slack[{SLACK}];"
        declaration = f"struct {{ {fields} }} {name}_codes TL_ALIGNED"
        memory = groups.tobytes() + bytes(SLACK)
        table = self._add(f"{name}_codes", declaration, text, memory, f"&{variable}.groups")
        codes = table if self.apart else f"{table}.groups[0]"
        mantissa = self.vector(f"{name}_mantissa", matrix.mantissa, f"&{variable}.mantissa")
        exponent = self._number(f"&{variable}.exponent", matrix.exponent)
        most = self._number(f"&{variable}.most", matrix.largest_sum())
        shape = f"{matrix.rows}, {matrix.columns}, {group_bytes}"
        return f"{{{codes}, {mantissa}, {shape}, {exponent}, {most}, {matrix.bits}}}"

    def gain(self, name: str, gain: IntegerGain, variable: str) -> str:
        """Add a gain and return the initializer of its tl_gain. variable: that tl_gain."""
        codes = self.vector(f"{name}_codes", gain.codes, f"&{variable}.codes")
        return f"{{{codes}, {self._number(f'&{variable}.exponent', gain.exponent)}}}"

    def _number(self, variable: str, value: int) -> str:
        """The initializer of an int32_t that depends on the weights' values. variable: its address."""
        if not self.apart:
            return str(value)
        self.numbers.append((variable, value))
        return "0"

    def _add(self, name: str, declaration: str, text: Callable[[], str], memory: bytes, pointer: str) -> str:
        self.crc = zlib.crc32(memory, self.crc)
        copied, moved = name in self.copied, name in self.moved
        self.tables.append(Table(name, declaration, text, memory, pointer, copied, moved))
        return "NULL" if self.apart else name


def weight_files(
    model: IntegerModel, kernels: KernelSet, copied: Collection[str] = (), moved: Collection[str] = ()
) -> dict[str, str]:
    """File name -> text of weights.h and weights.c, packed for a kernel set: the same text for the same model.

    copied: names of the tables that are copied to RAM when the board starts. moved: names of those that the port copies
    to PSRAM.
    """
    tables = _Tables(kernels, copied, moved)
    fields = _structures(tables, model) | {
        "name": harmless_name(model.config.name),
        "alignment": ALIGNMENT,
        "kernel_set": kernels.name,
        "tables": tables.tables,
        "crc": tables.crc,
        "moved": moved,
    }
    return {
        "weights.h": render("weights.h", **fields, variables=bool(moved), apart=False),
        "weights.c": render("weights.c", **fields),
    }


@dataclass(frozen=True)
class WeightsApart:
    """The weights beside the program. files: name -> text of weights.h and weights.c. layout: the hash for both."""

    files: dict[str, str]
    image: bytes
    layout: bytes


def weights_apart(
    model: IntegerModel,
    kernels: KernelSet,
    copied: Collection[str] = (),
    moved: Collection[str] = (),
    program: Mapping[str, str] | None = None,
) -> WeightsApart:
    """The same tables as an image, and the C that finds them in it: the same text for every model of this layout.

    copied, moved: as in weight_files. program: file name -> text of the vocabulary, for layout_hash.
    """
    tables = _Tables(kernels, copied, moved, apart=True)
    fields = _structures(tables, model)
    tables.codes("k_shift", model.k_shift.view(np.int8), "&tl_k_shift")
    numbers = np.array([value for _, value in tables.numbers], "<i4").tobytes()
    memories = [*(table.memory for table in tables.tables), numbers]
    sizes = [(table.name, len(table.memory)) for table in tables.tables] + [("numbers", len(numbers))]
    layout = layout_hash(model, kernels, sizes, program or {})
    image = write_image(model, kernels, memories, layout)
    fields |= {
        "name": f"a model of layout {layout.hex()}",
        "kernel_set": kernels.name,
        "tables": tables.tables,
        "numbers": tables.numbers,
        "table_bytes": table_bytes,
        "copied_bytes": sum(table_bytes(len(table.memory)) for table in tables.tables if table.copied),
        "moved": moved,
        "kv_heads": model.config.n_kv_heads,
        "head_dim": model.config.head_dim,
        "format": FORMAT,
        "magic": IMAGE_MAGIC.decode(),
        "end": IMAGE_END.decode().rstrip("\0"),
        "offsets": OFFSETS,
        "header_bytes": HEADER_BYTES,
    }
    files = {
        "weights.h": render("weights.h", **fields, variables=True, apart=True),
        "weights.c": render("weights_apart.c", **fields),
    }
    return WeightsApart(files, image, layout)


def _structures(tables: _Tables, model: IntegerModel) -> dict[str, Any]:
    """The initializers of weights.c, by the name of their variable; their tables are added to `tables`."""
    cache = prefix_cache(model)
    return {
        "embedding": tables.matrix("embedding", model.embedding, "tl_embedding"),
        "blocks": [_block(tables, index, block) for index, block in enumerate(model.blocks)],
        "final_norm": tables.gain("final_norm", model.final_norm, "tl_final_norm"),
        "head": None if model.head is None else tables.matrix("head", model.head, "tl_head"),
        "prefix": None if cache is None else _prefix(tables, cache),
        "biases": [bias for bias in BIASES if getattr(model.blocks[0], bias) is not None],
    }


def _prefix(tables: _Tables, cache: PrefixCache) -> dict[str, str]:
    """Field -> initializer of tl_prefix."""
    values = {}
    for item in fields(cache):
        array, name, pointer = getattr(cache, item.name), f"prefix_{item.name}", f"&tl_prefix.{item.name}"
        add = tables.codes if array.dtype == np.int8 else tables.vector
        values[item.name] = add(name, array if array.dtype == np.int8 else array.ravel(), pointer)
    return values


def _block(tables: _Tables, index: int, block: IntegerBlock) -> dict[str, str]:
    """Field -> initializer of its tl_block."""
    name, values = f"block_{index}", {}
    for item in fields(block):
        part, variable = getattr(block, item.name), f"tl_blocks[{index}].{item.name}"
        if isinstance(part, IntegerMatrix):
            values[item.name] = tables.matrix(f"{name}_{item.name}", part, variable)
        elif isinstance(part, IntegerGain):
            values[item.name] = tables.gain(f"{name}_{item.name}", part, variable)
        elif part is not None:
            values[item.name] = tables.vector(f"{name}_{item.name}", part, f"&{variable}")
    return values


def _literal(group: bytes) -> str:
    """The bytes as a string literal of one or more lines."""
    lines = (group[start : start + CODES_PER_LINE] for start in range(0, len(group), CODES_PER_LINE))
    return "\n".join(f'"{"".join([ESCAPED[byte] for byte in line])}"' for line in lines)
