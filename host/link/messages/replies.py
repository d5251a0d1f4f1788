"""Replies: what a board answers (docs/protocol.md, section "Replies")."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar

from tinyllm.host.link.messages.body import (
    Fixed,
    FixedThenText,
    MalformedBody,
    pack_string,
    take_string,
    unpack,
    values,
    words,
)
from tinyllm.host.link.messages.codes import ReplyType, WeightsState


@dataclass(frozen=True)
class HelloReply:
    """Who the board is; the 8-byte model hash and build id are kept as hexadecimal text.

    chat: 1 if the board has a chat template and takes turns of a chat, else 0. kernels: the kernel set that it was
    built with. kernels_agree: 1 if that set passed its check at the start, 0 if the portable C does its work. weights:
    a WeightsState. layout: 8 bytes in hexadecimal that the program and the weights beside it must agree in; zeros if
    the weights are in the program.
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
    kernels: str = "generic"
    kernels_agree: int = 1
    weights: int = WeightsState.INTACT
    layout: str = "00" * 8

    def body(self) -> bytes:
        *numbers, model_hash, build_id, model, board, firmware, chat, kernels, kernels_agree, weights, layout = values(
            self
        )
        fixed = struct.pack(self.LAYOUT, *numbers, bytes.fromhex(model_hash), bytes.fromhex(build_id))
        names = b"".join(pack_string(text) for text in (model, board, firmware))
        return (
            fixed
            + names
            + bytes((chat,))
            + pack_string(kernels)
            + bytes((kernels_agree, weights))
            + bytes.fromhex(layout)
        )

    @classmethod
    def from_body(cls, body: bytes) -> HelloReply:
        size = struct.calcsize(cls.LAYOUT)
        *numbers, model_hash, build_id = unpack(cls.LAYOUT, body[:size])
        model, rest = take_string(body[size:])
        board, rest = take_string(rest)
        firmware, rest = take_string(rest)
        (chat,) = unpack("<B", rest[:1])
        kernels, rest = take_string(rest[1:])
        if len(rest) == 1:
            # The board was flashed before weights could lie beside a program: its weights are in the program.
            rest += bytes(9)
        kernels_agree, weights, layout = unpack("<BB8s", rest)
        names = (model, board, firmware)
        about = (chat, kernels, kernels_agree, weights, layout.hex())
        return cls(*(*numbers, model_hash.hex(), build_id.hex(), *names, *about))


@dataclass(frozen=True)
class Ok(Fixed):
    TYPE = ReplyType.OK
    LAYOUT = "<B"
    request: int


@dataclass(frozen=True)
class Token(FixedThenText):
    """One generated token; `text` holds the characters that it completed, maybe none."""

    TYPE = ReplyType.TOKEN
    LAYOUT = "<II"
    index: int
    token: int
    text: str


@dataclass(frozen=True)
class Done(FixedThenText):
    """The end of an answer. Times are microseconds by the board's own clock; `text` is a character left unfinished."""

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
class Error(FixedThenText):
    TYPE = ReplyType.ERROR
    LAYOUT = "<BB"
    code: int
    request: int
    message: str


@dataclass(frozen=True)
class LogitsReply:
    """Logits. `values` are Q16.16 int32, of the tokens from `first` on."""

    TYPE: ClassVar[int] = ReplyType.LOGITS
    first: int
    values: tuple[int, ...]

    def body(self) -> bytes:
        return struct.pack(f"<I{len(self.values)}i", self.first, *self.values)

    @classmethod
    def from_body(cls, body: bytes) -> LogitsReply:
        (first,) = unpack("<I", body[:4])
        return cls(first, words("i", body[4:]))


@dataclass(frozen=True)
class MemoryReply:
    """Name and bytes of each part of the memory map, in the board's order."""

    TYPE: ClassVar[int] = ReplyType.MEMORY
    entries: tuple[tuple[str, int], ...]

    def body(self) -> bytes:
        return b"".join(pack_string(name) + struct.pack("<I", value) for name, value in self.entries)

    @classmethod
    def from_body(cls, body: bytes) -> MemoryReply:
        entries = []
        while body:
            name, body = take_string(body)
            (value,) = unpack("<I", body[:4])
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
class Progress(Fixed):
    """Prompt tokens prefilled so far, and in all."""

    TYPE = ReplyType.PROGRESS
    LAYOUT = "<II"
    done: int
    total: int


@dataclass(frozen=True)
class Call(FixedThenText):
    """A call of the model. answered: a Handler; unless CARRIED_OUT, the board waits for GiveResult or CarryOut."""

    TYPE = ReplyType.CALL
    LAYOUT = "<B"
    answered: int
    text: str


@dataclass(frozen=True)
class CallResult:
    """The result of the last call. tokens: as the model reads them, marks included; none if the context has no room.

    text: what a handler said, with U+FFFD for bytes that are not UTF-8.
    """

    TYPE: ClassVar[int] = ReplyType.RESULT
    tokens: tuple[int, ...]
    text: str

    def body(self) -> bytes:
        return struct.pack(f"<H{len(self.tokens)}I", len(self.tokens), *self.tokens) + self.text.encode()

    @classmethod
    def from_body(cls, body: bytes) -> CallResult:
        (count,) = unpack("<H", body[:2])
        end = 2 + 4 * count
        if len(body) < end:
            raise MalformedBody(f"{len(body)} bytes, expected {count} tokens")
        return cls(words("I", body[2:end]), body[end:].decode("utf-8", "replace"))


Reply = HelloReply | Ok | Token | Done | Error | LogitsReply | MemoryReply | Settings | Progress | Call | CallResult
