"""Reads the header of a GGUF file; every count is checked before it is used.

Format: docs/gguf.md of github.com/ggml-org/ggml, versions 2 and 3, little-endian. The file starts with the magic
"GGUF", uint32 version, uint64 number of tensors and uint64 number of metadata entries. The metadata entries follow: a
key, a uint32 type, a value. Then come the table of tensors and their data. A string is a uint64 length and that many
bytes; an array is a uint32 type, a uint64 count and the values.

The gguf package's own reader trusts every count: a few bytes can make it allocate without end. So it is not used here.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyllm.errors import UserError
from tinyllm.files import file_size
from tinyllm.text import shown

Scalar = int | float | bytes
Value = Scalar | list[bytes] | NDArray[Any]

MAGIC = b"GGUF"
VERSIONS = (2, 3)
START_SIZE = 24
DEFAULT_ALIGNMENT = 32
HEADER_LIMIT = 32 << 20
"""The most bytes of metadata and tensor table; the largest vocabularies, with merges, take about 10 MB."""
MAX_ENTRIES = 1 << 16
"""The most metadata entries, and the most tensors; a model has some hundreds."""
MAX_KEY_LENGTH = 65535

NUMBERS = {
    0: "<u1",
    1: "<i1",
    2: "<u2",
    3: "<i2",
    4: "<u4",
    5: "<i4",
    6: "<f4",
    7: "?",
    10: "<u8",
    11: "<i8",
    12: "<f8",
}
"""Type number of a metadata value -> numpy dtype."""
FLOAT32, STRING, ARRAY = 6, 8, 9


def is_gguf(start: bytes) -> bool:
    """Whether a file with these first START_SIZE bytes is a GGUF file with metadata, which every model has."""
    return len(start) >= START_SIZE and start.startswith(MAGIC) and any(start[16:START_SIZE])


def is_gguf_file(path: Path) -> bool:
    """Whether `path` is a GGUF file by its name or its content. Raises UserError if it is no readable file."""
    file_size(path)
    with path.open("rb") as file:
        return path.suffix == ".gguf" or is_gguf(file.read(START_SIZE))


class Cursor:
    """Reads the header from front to back.

    Raises UserError, naming what was being read, at the end of the file or of the first HEADER_LIMIT bytes.
    """

    def __init__(self, path: Path, data: memoryview, offset: int = 0) -> None:
        self.path = path
        self.data = data
        self.offset = offset
        self.end = min(len(data), HEADER_LIMIT)

    @property
    def remaining(self) -> int:
        return self.end - self.offset

    def skip(self, n_bytes: int, what: str) -> int:
        """Move the cursor past the next `n_bytes`. Returns their offset. Raises UserError if the file lacks them."""
        if n_bytes > self.remaining:
            if self.end < len(self.data):
                raise self.damaged(f"{what} lies beyond the first {HEADER_LIMIT:,} bytes, where a header must end")
            raise self.damaged(f"{what} needs {n_bytes:,} bytes, the file has {self.remaining:,} left")
        offset = self.offset
        self.offset += n_bytes
        return offset

    def number(self, code: str, what: str) -> int:
        """One whole number. code: its format in `struct`, "I" or "Q"."""
        (value,) = struct.unpack_from(f"<{code}", self.data, self.skip(struct.calcsize(f"<{code}"), what))
        return int(value)

    def string(self, what: str) -> bytes:
        start = self.skip(self.number("Q", what), what)
        return bytes(self.data[start : self.offset])

    def name(self, what: str, limit: int) -> str:
        """A string that must be UTF-8 of at most `limit` bytes, not empty and printable on one line."""
        raw = self.string(what)
        if len(raw) > limit:
            raise self.damaged(f"{what} has {len(raw):,} bytes, expected at most {limit:,}")
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            text = ""
        if not text.isprintable() or not text:
            raise self.damaged(f"{what} is {shown(raw)}, expected printable text")
        return text

    def count(self, what: str) -> int:
        """A number of entries, at most MAX_ENTRIES."""
        value = self.number("Q", what)
        if value > MAX_ENTRIES:
            raise self.damaged(f"{what} is {value:,}, expected at most {MAX_ENTRIES:,}")
        return value

    def damaged(self, problem: str) -> UserError:
        return UserError(f"{self.path}: {problem}; the file is damaged: download or convert it again")


@dataclass(frozen=True)
class Gguf:
    """A GGUF file whose metadata has been read.

    metadata: a string is bytes, an array of numbers a numpy array, an array of strings a list. A float32 becomes the
        shortest decimal that rounds to it (1e-5, not 9.99999974e-6), as in the file that it was converted from.
    data: the whole file. table: the offset of the tensor table, which has n_tensors entries.
    alignment: the data begin at the next multiple of it after the table, and each tensor at a multiple within them.
    """

    path: Path
    data: memoryview
    metadata: dict[str, Value]
    table: int
    n_tensors: int
    alignment: int

    def scalar(self, key: str) -> Scalar | None:
        """The value, None if the key is absent. Raises UserError for an array."""
        value = self.metadata.get(key)
        if isinstance(value, (list, np.ndarray)):
            raise UserError(
                f"{self.path}: {key} is an array of {len(value)}, expected one value for all layers;"
                " such a model cannot be read: choose another"
            )
        return value

    def text(self, key: str) -> str | None:
        """The string, None if the key is absent. Raises UserError if it is not UTF-8 text."""
        value = self.scalar(key)
        if value is None:
            return None
        try:
            if isinstance(value, bytes):
                return value.decode()
        except UnicodeDecodeError:
            pass
        raise UserError(f"{self.path}: {key} is {shown(value)}, expected text; convert the file again")

    def flag(self, key: str, default: bool) -> bool:
        """The truth value, `default` if the key is absent. Raises UserError for a value of another type."""
        value = self.scalar(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise UserError(f"{self.path}: {key} is {shown(value)}, expected a bool; convert the file again")
        return value

    def real(self, key: str, default: float | None, least: float, most: float) -> float:
        """The number, `default` if the key is absent.

        Raises UserError for a value of another type or outside `least` to `most`, and if there is no default either.
        """
        value = self.scalar(key)
        if value is None:
            value = default
        if isinstance(value, (bool, bytes)) or value is None or not least <= value <= most:
            found = "missing" if value is None else shown(value)
            raise UserError(
                f"{self.path}: {key} is {found}, expected a number from {least:g} to {most:g}; convert the file again"
            )
        return float(value)


def open_gguf(path: Path) -> Gguf:
    """Open a GGUF file and read its metadata.

    Raises UserError for a file that is missing, of another format, cut off, big-endian or of another version, and if
    the metadata have a key twice, an unknown type, an array of arrays or a length that the file cannot hold.
    """
    size = file_size(path)
    if size < START_SIZE:
        raise UserError(
            f"{path} is truncated: it has {size} bytes, expected at least the {START_SIZE} of a GGUF header;"
            " download it again"
        )
    data = np.memmap(path, np.uint8, "r").data
    cursor = Cursor(path, data)
    magic = struct.pack("<I", cursor.number("I", "the magic"))
    if magic != MAGIC:
        raise UserError(f"{path} is not a GGUF file: it starts with {magic!r}, expected {MAGIC!r}; check its name")
    version = cursor.number("I", "the version")
    if version not in VERSIONS:
        big_endian = int.from_bytes(version.to_bytes(4, "little"), "big") in VERSIONS
        found = "is big-endian, expected little-endian" if big_endian else f"has version {version}, expected 2 or 3"
        raise UserError(f"{path}: this GGUF file {found}; convert the model again with a current llama.cpp")
    n_tensors, n_entries = cursor.count("the number of tensors"), cursor.count("the number of metadata entries")
    metadata: dict[str, Value] = {}
    for entry in range(n_entries):
        key = cursor.name(f"key {entry} of the metadata", MAX_KEY_LENGTH)
        if key in metadata:
            raise cursor.damaged(f"metadata key {key[:80]!r} is there twice, expected once")
        metadata[key] = _value(cursor, key[:80])
    alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1) or alignment > 1 << 20:
        raise cursor.damaged(f"general.alignment is {shown(alignment)}, expected a power of two up to 1,048,576")
    return Gguf(path, data, metadata, cursor.offset, n_tensors, alignment)


def _value(cursor: Cursor, key: str) -> Value:
    kind = cursor.number("I", f"the type of {key}")
    if kind == STRING:
        return cursor.string(key)
    if kind == ARRAY:
        item_kind, n = cursor.number("I", f"the item type of {key}"), cursor.number("Q", f"the item count of {key}")
        return _strings(cursor, key, n) if item_kind == STRING else _numbers(cursor, key, item_kind, n)
    value = _numbers(cursor, key, kind, 1)[0]
    if kind == FLOAT32 and math.isfinite(value):
        return float(str(value))
    number: int | float | bool = value.item()
    return number


def _strings(cursor: Cursor, key: str, n: int) -> list[bytes]:
    """Read strings as cursor.string does, but faster: a vocabulary has hundreds of thousands of them."""
    if 8 * n > cursor.remaining:
        raise cursor.damaged(f"{key} has {n:,} strings, more than the file could hold")
    length_at, data, offset, end = struct.Struct("<Q").unpack_from, cursor.data, cursor.offset, cursor.end
    strings = []
    for item in range(n):
        start = offset + 8
        if start > end:
            raise cursor.damaged(f"string {item} of {key} is cut off")
        (length,) = length_at(data, offset)
        offset = start + length
        if offset > end:
            raise cursor.damaged(f"string {item} of {key} needs {length:,} bytes, there are {end - start:,}")
        strings.append(bytes(data[start:offset]))
    cursor.offset = offset
    return strings


def _numbers(cursor: Cursor, key: str, kind: int, n: int) -> NDArray[Any]:
    if kind == ARRAY:
        raise cursor.damaged(f"{key} is an array of arrays, which no reader expects")
    if kind not in NUMBERS:
        raise cursor.damaged(f"{key} has type {kind}, expected one of 0 to 12")
    dtype = np.dtype(NUMBERS[kind])
    # A bool may be any byte in the file. It is read as uint8 and converted, so that the array holds only 0 and 1.
    stored = np.dtype(np.uint8) if dtype == np.bool_ else dtype
    start = cursor.skip(n * dtype.itemsize, key)
    return np.frombuffer(cursor.data, stored, count=n, offset=start).astype(dtype)
