"""The layouts of message bodies: integers in a struct, then texts and words. Little-endian."""

from __future__ import annotations

import struct
from dataclasses import astuple
from typing import Any, ClassVar, TypeVar


class MalformedBody(ValueError):
    """A frame arrived whole, but its body is not what its type promises."""


_M = TypeVar("_M", bound="Fixed")


class Fixed:
    """A body that is one struct of all fields, in order."""

    TYPE: ClassVar[int]
    LAYOUT: ClassVar[str] = "<"

    def body(self) -> bytes:
        return struct.pack(self.LAYOUT, *values(self))

    @classmethod
    def from_body(cls: type[_M], body: bytes) -> _M:
        return cls(*unpack(cls.LAYOUT, body))


class FixedThenText(Fixed):
    """A body whose last field is UTF-8 text up to the end."""

    def body(self) -> bytes:
        *numbers, text = values(self)
        return struct.pack(self.LAYOUT, *numbers) + bytes(text.encode())

    @classmethod
    def from_body(cls: type[_M], body: bytes) -> _M:
        size = struct.calcsize(cls.LAYOUT)
        return cls(*(*unpack(cls.LAYOUT, body[:size]), utf8(body[size:])))


def values(message: Any) -> tuple[Any, ...]:
    return astuple(message)


def unpack(layout: str, body: bytes) -> tuple[Any, ...]:
    if len(body) != struct.calcsize(layout):
        raise MalformedBody(f"{len(body)} bytes, expected {struct.calcsize(layout)}")
    return struct.unpack(layout, body)


def words(kind: str, body: bytes) -> tuple[int, ...]:
    if len(body) % 4:
        raise MalformedBody(f"{len(body)} bytes of words, expected a multiple of 4")
    return struct.unpack(f"<{len(body) // 4}{kind}", body)


def utf8(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise MalformedBody(f"text that is not UTF-8 at byte {error.start}") from None


def pack_string(text: str) -> bytes:
    data = text.encode()
    return bytes((len(data),)) + data


def take_string(body: bytes) -> tuple[str, bytes]:
    if not body or len(body) < 1 + body[0]:
        raise MalformedBody("a string that runs past the end")
    return utf8(body[1 : 1 + body[0]]), body[1 + body[0] :]
