"""The messages that programs and boards exchange, as docs/protocol.md specifies them.

Every message knows its type, writes its body with `body()` and reads it with `from_body()`, which raises MalformedBody
on anything that is not exactly such a body. Integers are little-endian; Q16.16 values are the real value times 65536.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from enum import IntEnum
from typing import Any, ClassVar, TypeVar

from tinyllm.host.link.frames import Frame

PROTOCOL_VERSION = 2
ATTENTION = b"\x03\x00\x00"
"""Opens a connection: cancel what runs, drop what was half typed, close what was half framed."""
UNTIL_STOP = 0xFFFFFFFF
"""As `max_tokens`: until the model stops."""
PROMPT_HEADER = 5
"""Bytes of a PROMPT before its text or token ids."""
MAX_LOGITS = 60
"""Logits in one reply."""
Q16 = 65536


class RequestType(IntEnum):
    HELLO = 0x01
    PROMPT = 0x02
    CANCEL = 0x03
    RESET = 0x04
    SET = 0x05
    GET = 0x06
    LOGITS = 0x07
    MEMORY = 0x08
    BYE = 0x09


class ReplyType(IntEnum):
    HELLO = 0x81
    OK = 0x82
    TOKEN = 0x83
    DONE = 0x84
    ERROR = 0x85
    LOGITS = 0x86
    MEMORY = 0x87
    SETTINGS = 0x88
    PROGRESS = 0x89


class PromptKind(IntEnum):
    """What a PROMPT holds."""

    TEXT = 0
    TOKENS = 1
    CHAT = 2


class Reason(IntEnum):
    """Why an answer ended."""

    STOP = 1
    LENGTH = 2
    CANCELLED = 3
    CONTEXT = 4


class ErrorCode(IntEnum):
    CORRUPT = 1
    BAD_REQUEST = 2
    VERSION = 3
    BUSY = 4
    BAD_VALUE = 5
    TOO_LONG = 6
    NO_LOGITS = 7
    MODEL = 8


class Setting(IntEnum):
    TEMPERATURE = 1
    TOP_K = 2
    TOP_P = 3
    MIN_P = 4
    REPETITION_PENALTY = 5
    SEED = 6
    MAX_TOKENS = 7
    OVERFLOW = 8


class Overflow(IntEnum):
    """What happens when the context is full."""

    SLIDE = 0
    STOP = 1


REAL_SETTINGS = frozenset({Setting.TEMPERATURE, Setting.TOP_P, Setting.MIN_P, Setting.REPETITION_PENALTY})
"""Settings whose value is Q16.16; the others are whole numbers."""


class MalformedBody(ValueError):
    """A frame arrived whole, but its body is not what its type promises."""


def token_digest(tokens: Iterable[int], digest: int = 0) -> int:
    """CRC-32 (IEEE 802.3) over token ids as u32 each, continuing from `digest`."""
    for token in tokens:
        digest = zlib.crc32(token.to_bytes(4, "little"), digest)
    return digest


_M = TypeVar("_M", bound="_Fixed")


class _Fixed:
    """A body that is one struct of all fields, in order."""

    TYPE: ClassVar[int]
    LAYOUT: ClassVar[str] = "<"

    def body(self) -> bytes:
        return struct.pack(self.LAYOUT, *_values(self))

    @classmethod
    def from_body(cls: type[_M], body: bytes) -> _M:
        return cls(*_unpack(cls.LAYOUT, body))


class _FixedThenText(_Fixed):
    """A body whose last field is UTF-8 text up to the end."""

    def body(self) -> bytes:
        *numbers, text = _values(self)
        return struct.pack(self.LAYOUT, *numbers) + bytes(text.encode())

    @classmethod
    def from_body(cls: type[_M], body: bytes) -> _M:
        size = struct.calcsize(cls.LAYOUT)
        return cls(*(*_unpack(cls.LAYOUT, body[:size]), _utf8(body[size:])))


@dataclass(frozen=True)
class Hello(_Fixed):
    TYPE = RequestType.HELLO
    LAYOUT = "<B"
    version: int = PROTOCOL_VERSION


@dataclass(frozen=True)
class Prompt:
    """`content` is text, encoded on the board, or token ids, taken as they are.

    chat: the text is a turn of a chat, to be put into the board's chat template.
    """

    TYPE: ClassVar[int] = RequestType.PROMPT
    max_tokens: int
    content: str | tuple[int, ...]
    chat: bool = False

    def body(self) -> bytes:
        if isinstance(self.content, str):
            kind = PromptKind.CHAT if self.chat else PromptKind.TEXT
            return struct.pack("<IB", self.max_tokens, kind) + self.content.encode("utf-8", "surrogateescape")
        return struct.pack(f"<IB{len(self.content)}I", self.max_tokens, PromptKind.TOKENS, *self.content)

    @classmethod
    def from_body(cls, body: bytes) -> Prompt:
        max_tokens, kind = _unpack("<IB", body[:5])
        if kind in (PromptKind.TEXT, PromptKind.CHAT):
            return cls(max_tokens, body[5:].decode("utf-8", "surrogateescape"), kind == PromptKind.CHAT)
        if kind != PromptKind.TOKENS:
            raise MalformedBody(f"a prompt of unknown kind {kind}")
        return cls(max_tokens, _words("I", body[5:]))


@dataclass(frozen=True)
class Cancel(_Fixed):
    TYPE = RequestType.CANCEL


@dataclass(frozen=True)
class Reset(_Fixed):
    TYPE = RequestType.RESET


@dataclass(frozen=True)
class Set(_Fixed):
    TYPE = RequestType.SET
    LAYOUT = "<BI"
    setting: int
    value: int


@dataclass(frozen=True)
class Get(_Fixed):
    TYPE = RequestType.GET


@dataclass(frozen=True)
class Logits(_Fixed):
    """Asks for at most MAX_LOGITS logits from token `first` on."""

    TYPE = RequestType.LOGITS
    LAYOUT = "<IH"
    first: int
    count: int


@dataclass(frozen=True)
class Memory(_Fixed):
    TYPE = RequestType.MEMORY


@dataclass(frozen=True)
class Bye(_Fixed):
    TYPE = RequestType.BYE


@dataclass(frozen=True)
class HelloReply:
    """Who the board is; the 8-byte model hash and build id are kept as hexadecimal text.

    chat: 1 where the board has a chat template and takes turns of a chat, else 0.
    """

    TYPE: ClassVar[int] = ReplyType.HELLO
    LAYOUT: ClassVar[str] = "<B6I8s8s"
    version: int
    context: int
    vocab_size: int
    text_max: int
    context_used: int
    conversation_digest: int
    corrupt_frames: int
    model_hash: str
    build_id: str
    model: str
    board: str
    firmware: str
    chat: int = 0

    def body(self) -> bytes:
        *numbers, model_hash, build_id, model, board, firmware, chat = _values(self)
        fixed = struct.pack(self.LAYOUT, *numbers, bytes.fromhex(model_hash), bytes.fromhex(build_id))
        return fixed + b"".join(_pack_string(text) for text in (model, board, firmware)) + bytes((chat,))

    @classmethod
    def from_body(cls, body: bytes) -> HelloReply:
        size = struct.calcsize(cls.LAYOUT)
        *numbers, model_hash, build_id = _unpack(cls.LAYOUT, body[:size])
        model, rest = _take_string(body[size:])
        board, rest = _take_string(rest)
        firmware, rest = _take_string(rest)
        (chat,) = _unpack("<B", rest)
        return cls(*(*numbers, model_hash.hex(), build_id.hex(), model, board, firmware, chat))


@dataclass(frozen=True)
class Ok(_Fixed):
    TYPE = ReplyType.OK
    LAYOUT = "<B"
    request: int


@dataclass(frozen=True)
class Token(_FixedThenText):
    """One generated token; `text` holds the characters that it completed, maybe none."""

    TYPE = ReplyType.TOKEN
    LAYOUT = "<II"
    index: int
    token: int
    text: str


@dataclass(frozen=True)
class Done(_FixedThenText):
    """The end of an answer. Times are microseconds by the board's own clock; `text` is what was left over."""

    TYPE = ReplyType.DONE
    LAYOUT = "<B7I"
    reason: int
    prompt_tokens: int
    tokens: int
    prefill_us: int
    decode_us: int
    digest: int
    context_used: int
    conversation_digest: int
    text: str = ""


@dataclass(frozen=True)
class Error(_FixedThenText):
    TYPE = ReplyType.ERROR
    LAYOUT = "<BB"
    code: int
    request: int
    message: str


@dataclass(frozen=True)
class LogitsReply:
    """`values` are Q16.16 int32 of the tokens from `first` on."""

    TYPE: ClassVar[int] = ReplyType.LOGITS
    first: int
    values: tuple[int, ...]

    def body(self) -> bytes:
        return struct.pack(f"<I{len(self.values)}i", self.first, *self.values)

    @classmethod
    def from_body(cls, body: bytes) -> LogitsReply:
        (first,) = _unpack("<I", body[:4])
        return cls(first, _words("i", body[4:]))


@dataclass(frozen=True)
class MemoryReply:
    """Name and bytes of each part of the memory map, in the board's order."""

    TYPE: ClassVar[int] = ReplyType.MEMORY
    entries: tuple[tuple[str, int], ...]

    def body(self) -> bytes:
        return b"".join(_pack_string(name) + struct.pack("<I", value) for name, value in self.entries)

    @classmethod
    def from_body(cls, body: bytes) -> MemoryReply:
        entries = []
        while body:
            name, body = _take_string(body)
            (value,) = _unpack("<I", body[:4])
            entries.append((name, value))
            body = body[4:]
        return cls(tuple(entries))


@dataclass(frozen=True)
class Settings:
    """Pairs of setting number and value as sent; numbers this side does not know are kept."""

    TYPE: ClassVar[int] = ReplyType.SETTINGS
    entries: tuple[tuple[int, int], ...]

    def body(self) -> bytes:
        return b"".join(struct.pack("<BI", setting, value) for setting, value in self.entries)

    @classmethod
    def from_body(cls, body: bytes) -> Settings:
        if len(body) % 5:
            raise MalformedBody(f"{len(body)} bytes, expected a multiple of 5")
        return cls(tuple(struct.iter_unpack("<BI", body)))


@dataclass(frozen=True)
class Progress(_Fixed):
    """Prompt tokens prefilled so far, and in all."""

    TYPE = ReplyType.PROGRESS
    LAYOUT = "<II"
    done: int
    total: int


Request = Hello | Prompt | Cancel | Reset | Set | Get | Logits | Memory | Bye
Reply = HelloReply | Ok | Token | Done | Error | LogitsReply | MemoryReply | Settings | Progress

_REQUESTS: dict[int, type[Request]] = {
    message.TYPE: message for message in (Hello, Prompt, Cancel, Reset, Set, Get, Logits, Memory, Bye)
}
_REPLIES: dict[int, type[Reply]] = {
    message.TYPE: message
    for message in (HelloReply, Ok, Token, Done, Error, LogitsReply, MemoryReply, Settings, Progress)
}


def to_frame(message: Request | Reply, sequence: int) -> Frame:
    return Frame(message.TYPE, sequence, message.body())


def parse_request(frame: Frame) -> Request:
    """The request in a frame; raises MalformedBody for an unknown type or a body of the wrong form."""
    message = _REQUESTS.get(frame.type)
    if message is None:
        raise MalformedBody(f"unknown request type {frame.type:02x}")
    return message.from_body(frame.body)


def parse_reply(frame: Frame) -> Reply:
    """The reply in a frame; raises MalformedBody for an unknown type or a body of the wrong form."""
    message = _REPLIES.get(frame.type)
    if message is None:
        raise MalformedBody(f"unknown reply type {frame.type:02x}")
    return message.from_body(frame.body)


def _values(message: Any) -> tuple[Any, ...]:
    return astuple(message)


def _unpack(layout: str, body: bytes) -> tuple[Any, ...]:
    if len(body) != struct.calcsize(layout):
        raise MalformedBody(f"{len(body)} bytes, expected {struct.calcsize(layout)}")
    return struct.unpack(layout, body)


def _words(kind: str, body: bytes) -> tuple[int, ...]:
    if len(body) % 4:
        raise MalformedBody(f"{len(body)} bytes of words, expected a multiple of 4")
    return struct.unpack(f"<{len(body) // 4}{kind}", body)


def _utf8(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise MalformedBody(f"text that is not UTF-8 at byte {error.start}") from None


def _pack_string(text: str) -> bytes:
    data = text.encode()
    return bytes((len(data),)) + data


def _take_string(body: bytes) -> tuple[str, bytes]:
    if not body or len(body) < 1 + body[0]:
        raise MalformedBody("a string that runs past the end")
    return _utf8(body[1 : 1 + body[0]]), body[1 + body[0] :]
