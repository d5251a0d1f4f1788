"""Hostile files and frames made from sound ones: bytes changed, parts moved, values replaced, at random from a seed."""

from __future__ import annotations

import json
import random
import re
import struct
from typing import Any

NUMBERS = (0, 1, 2, 7, 127, 128, 255, 256, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)
WRITTEN = (
    b"0",
    b"-1",
    b"1e400",
    b"-0.0",
    b"NaN",
    b"null",
    b"true",
    b"[]",
    b"{}",
    b'""',
    b"1" * 5000,
    b"1" * 4000,
    b"0x" + b"f" * 5000,
    b"99999999999",
)
VALUES = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**63,
    10**30,
    10**4000,
    0.5,
    1e400,
    "",
    "\ud83d",
    "\0",
    "▁",
    "a b",
    [],
    {},
    [[]],
)
LARGEST = 1 << 16
"""Bytes of a hostile file."""


def damaged(wire: bytes, generator: random.Random) -> bytes:
    """One frame with bytes flipped, lost, added, replaced or cut off between its zeros."""
    body = bytearray(wire[1:-1])
    for _ in range(generator.randint(1, 3)):
        place = generator.randrange(len(body))
        match generator.randrange(5):
            case 0:
                body[place] ^= 1 << generator.randrange(8)
            case 1:
                del body[place]
            case 2:
                body.insert(place, generator.randrange(256))
            case 3:
                body[place] = generator.randrange(256)
            case _:
                del body[place:]
        if not body:
            break
    return b"\x00" + bytes(body) + b"\x00"


def mutated(originals: list[bytes], generator: random.Random) -> bytes:
    """One of the originals with one to four changes; a JSON document half of the time changed as a document."""
    data = generator.choice(originals)
    if data[:1] in (b"{", b"[") and generator.random() < 0.5 and (document := _document(data)) is not None:
        for _ in range(generator.randint(1, 3)):
            _change_value(document, generator)
        return json.dumps(document).encode("utf-8", "surrogatepass")[:LARGEST]
    for _ in range(generator.randint(1, 4)):
        data = generator.choice(CHANGES)(data, generator.choice(originals), generator)
    return data[:LARGEST]


def _place(data: bytes, generator: random.Random) -> int:
    """Mostly near the start, where headers are."""
    return generator.randrange(min(len(data), generator.choice((16, 64, 300, LARGEST))) or 1)


def _flip(data: bytes, _: bytes, generator: random.Random) -> bytes:
    at = _place(data, generator)
    return data[:at] + bytes(byte ^ 1 << generator.randrange(8) for byte in data[at : at + 1]) + data[at + 1 :]


def _overwrite(data: bytes, _: bytes, generator: random.Random) -> bytes:
    at, patch = _place(data, generator), generator.randbytes(generator.randint(1, 8))
    return data[:at] + patch + data[at + len(patch) :]


def _number(data: bytes, _: bytes, generator: random.Random) -> bytes:
    at, kind = _place(data, generator), generator.choice("BHIQ")
    size = struct.calcsize(kind)
    number = generator.choice(NUMBERS) + generator.choice((-1, 0, 0, 1))
    if size <= len(data) - at and generator.random() < 0.3:  # near what is there
        number = struct.unpack_from(f"<{kind}", data, at)[0] + generator.choice((-1, 1, 16))
    patch = struct.pack(f"{generator.choice('<<>')}{kind}", number % 256**size)
    return data[:at] + patch + data[at + size :]


def _cut(data: bytes, _: bytes, generator: random.Random) -> bytes:
    return data[: generator.randrange(len(data) + 1)]


def _remove(data: bytes, _: bytes, generator: random.Random) -> bytes:
    at = _place(data, generator)
    return data[:at] + data[at + generator.randint(1, 40) :]


def _insert(data: bytes, other: bytes, generator: random.Random) -> bytes:
    at, begin = _place(data, generator), _place(other, generator)
    some = other[begin : begin + generator.randint(1, 60)]
    return data[:at] + some * generator.choice((1, 1, 1, 2, 500)) + data[at:]


def _splice(data: bytes, other: bytes, generator: random.Random) -> bytes:
    return data[: generator.randrange(len(data) + 1)] + other[generator.randrange(len(other) + 1) :]


def _swap(data: bytes, _: bytes, generator: random.Random) -> bytes:
    first, second, third = sorted(generator.randrange(len(data) + 1) for _ in range(3))
    return data[:first] + data[second:third] + data[first:second] + data[third:]


def _rewrite(data: bytes, _: bytes, generator: random.Random) -> bytes:
    """Another number or value in a text."""
    found = list(re.finditer(rb"-?\d[\d.e+-]*|true|false|null|\"[^\"]{0,40}\"", data))[:200]
    if not found:
        return data
    match = generator.choice(found)
    return data[: match.start()] + generator.choice(WRITTEN) + data[match.end() :]


CHANGES = (_flip, _overwrite, _number, _number, _cut, _remove, _insert, _splice, _swap, _rewrite, _rewrite)


def _document(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _change_value(document: Any, generator: random.Random) -> None:
    """Replace, remove, repeat or nest one value at any depth."""
    inner = document
    while True:
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        if not keys:
            return
        key = generator.choice(keys)
        below = inner[key]
        if isinstance(below, dict | list) and below and generator.random() < 0.7:
            inner = below
            continue
        change = generator.randrange(5)
        if change == 0:
            del inner[key]
        elif change == 1:
            inner[key] = inner[generator.choice(keys)]
        elif change == 2:
            inner[key] = [below] if generator.random() < 0.5 else {str(key): below}
        elif change == 3 and isinstance(below, str | int | list):
            inner[key] = below * generator.choice((2, 3, 400)) if len(str(below)) < 100 else below * 2
        else:
            inner[key] = generator.choice(VALUES)
        return
