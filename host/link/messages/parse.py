"""Converts messages to frames and back."""

from __future__ import annotations

from tinyllm.host.link.frames import Frame
from tinyllm.host.link.messages.body import MalformedBody
from tinyllm.host.link.messages.replies import (
    Call,
    CallResult,
    Done,
    Error,
    HelloReply,
    LogitsReply,
    MemoryReply,
    Ok,
    Progress,
    Reply,
    Settings,
    Token,
)
from tinyllm.host.link.messages.requests import (
    Bye,
    Cancel,
    CarryOut,
    Get,
    GiveResult,
    Hello,
    Logits,
    Memory,
    Prompt,
    Request,
    Reset,
    Set,
)

_REQUESTS: dict[int, type[Request]] = {
    message.TYPE: message
    for message in (Hello, Prompt, Cancel, Reset, Set, Get, Logits, Memory, Bye, GiveResult, CarryOut)
}
_REPLIES: dict[int, type[Reply]] = {
    message.TYPE: message
    for message in (HelloReply, Ok, Token, Done, Error, LogitsReply, MemoryReply, Settings, Progress, Call, CallResult)
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
