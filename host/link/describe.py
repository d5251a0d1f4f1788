"""Describes a frame, or bytes that are no frame, in one line for people."""

from __future__ import annotations

from dataclasses import fields

from tinyllm.host.link import messages as protocol
from tinyllm.host.link.frames import Frame, Stray, damage


def describe(item: Frame | Stray) -> str:
    """A frame's sequence number, message name and fields; the text of stray bytes, or what is wrong with them."""
    if isinstance(item, Stray):
        return _describe_stray(item.data)
    parse = protocol.parse_request if item.type in protocol.REQUEST_TYPES else protocol.parse_reply
    try:
        message = parse(item)
    except protocol.MalformedBody as error:
        return f"#{item.sequence} type {item.type:02x}, malformed ({error}): {item.body.hex(' ')}".rstrip(": ")
    values = (f"{field.name}={getattr(message, field.name)!r}" for field in fields(message))
    return f"#{item.sequence} {type(message).__name__.removesuffix('Reply')} {' '.join(values)}".rstrip()


def _describe_stray(data: bytes) -> str:
    """The text, or for a damaged frame what it seems to be and why it is not valid."""
    text = as_text(data)
    return f"text {text!r}" if text is not None else f"damaged ({damage(data)}): {data.hex(' ')}"


def as_text(data: bytes) -> str | None:
    """The bytes as text; None if they are no text. Line ends, tab, backspace, bell and escape count as text."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return text if all(c.isprintable() or c in "\r\n\t\b\x1b\x07" for c in text) else None
