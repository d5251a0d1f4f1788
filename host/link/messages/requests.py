"""Requests: what programs ask of a board (docs/protocol.md, section "Requests")."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar

from tinyllm.host.link.messages.body import Fixed, FixedThenText, MalformedBody, unpack, words
from tinyllm.host.link.messages.codes import ASKS_FIRST, PROTOCOL_VERSION, PromptKind, RequestType


@dataclass(frozen=True)
class Hello(Fixed):
    TYPE = RequestType.HELLO
    LAYOUT = "<B"
    version: int = PROTOCOL_VERSION


@dataclass(frozen=True)
class Prompt:
    """`content` is text, encoded on the board, or token ids, taken as they are.

    chat: the text is a turn of a chat, for the board's chat template. asks_first: the board asks this side before it
    carries out a call of the answer.
    """

    TYPE: ClassVar[int] = RequestType.PROMPT
    max_tokens: int
    content: str | tuple[int, ...]
    chat: bool = False
    asks_first: bool = False

    def body(self) -> bytes:
        flag = ASKS_FIRST if self.asks_first else 0
        if isinstance(self.content, str):
            kind = (PromptKind.CHAT if self.chat else PromptKind.TEXT) | flag
            return struct.pack("<IB", self.max_tokens, kind) + self.content.encode("utf-8", "surrogateescape")
        return struct.pack(f"<IB{len(self.content)}I", self.max_tokens, PromptKind.TOKENS | flag, *self.content)

    @classmethod
    def from_body(cls, body: bytes) -> Prompt:
        max_tokens, flagged = unpack("<IB", body[:5])
        kind, asks_first = flagged & ~ASKS_FIRST, bool(flagged & ASKS_FIRST)
        if kind in (PromptKind.TEXT, PromptKind.CHAT):
            text = body[5:].decode("utf-8", "surrogateescape")
            return cls(max_tokens, text, kind == PromptKind.CHAT, asks_first)
        if kind != PromptKind.TOKENS:
            raise MalformedBody(f"a prompt of unknown kind {kind}")
        return cls(max_tokens, words("I", body[5:]), asks_first=asks_first)


@dataclass(frozen=True)
class Cancel(Fixed):
    TYPE = RequestType.CANCEL


@dataclass(frozen=True)
class Reset(Fixed):
    TYPE = RequestType.RESET


@dataclass(frozen=True)
class Set(Fixed):
    TYPE = RequestType.SET
    LAYOUT = "<BI"
    setting: int
    value: int


@dataclass(frozen=True)
class Get(Fixed):
    TYPE = RequestType.GET


@dataclass(frozen=True)
class Logits(Fixed):
    """Asks for at most MAX_LOGITS logits from token `first` on."""

    TYPE = RequestType.LOGITS
    LAYOUT = "<IH"
    first: int
    count: int


@dataclass(frozen=True)
class Memory(Fixed):
    TYPE = RequestType.MEMORY


@dataclass(frozen=True)
class Bye(Fixed):
    TYPE = RequestType.BYE


@dataclass(frozen=True)
class GiveResult(FixedThenText):
    """The result of the call that waits for one, as text."""

    TYPE = RequestType.GIVE_RESULT
    text: str


@dataclass(frozen=True)
class CarryOut(Fixed):
    """Tells the board to carry out the waiting call with its own handler."""

    TYPE = RequestType.CARRY_OUT


Request = Hello | Prompt | Cancel | Reset | Set | Get | Logits | Memory | Bye | GiveResult | CarryOut
