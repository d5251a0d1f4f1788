"""The numbers of docs/protocol.md and their names: types, reasons, error codes, limits."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from enum import IntEnum

PROTOCOL_VERSION = 4
"""There is no version 3: its HELLO would hold the byte of Ctrl-C, under some sequence numbers twice in a row."""
ATTENTION = b"\x03\x00\x00"
"""Opens a connection: cancels the running answer, drops a half-typed line, closes a half-sent frame."""
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
    GIVE_RESULT = 0x0B
    CARRY_OUT = 0x0C


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
    CALL = 0x8A
    RESULT = 0x8B


REQUEST_TYPES = frozenset(int(kind) for kind in RequestType)
REPLY_TYPES = frozenset(int(kind) for kind in ReplyType)


class PromptKind(IntEnum):
    """What a PROMPT holds."""

    TEXT = 0
    TOKENS = 1
    CHAT = 2


ASKS_FIRST = 0x80
"""A flag in the kind of a PROMPT: the board asks the program before it carries out a call."""


class Handler(IntEnum):
    """What a CALL says of the board's handler: there is none, it has done the work, or it waits for the program."""

    NONE = 0
    CARRIED_OUT = 1
    ASKED_FIRST = 2


class Reason(IntEnum):
    """Why an answer ended."""

    STOP = 1
    LENGTH = 2
    CANCELLED = 3
    CONTEXT = 4


class WeightsState(IntEnum):
    """How a board found its weights at its start; with any but INTACT it computes nothing."""

    INTACT = 0
    MISSING = 1
    TRUNCATED = 2
    DAMAGED = 3
    FOREIGN = 4


class ErrorCode(IntEnum):
    CORRUPT = 1
    BAD_REQUEST = 2
    VERSION = 3
    BUSY = 4
    BAD_VALUE = 5
    TOO_LONG = 6
    NO_LOGITS = 7
    MODEL = 8


def token_digest(tokens: Iterable[int], digest: int = 0) -> int:
    """CRC-32 (IEEE 802.3) over token ids as u32 each, continuing from `digest`."""
    for token in tokens:
        digest = zlib.crc32(token.to_bytes(4, "little"), digest)
    return digest
