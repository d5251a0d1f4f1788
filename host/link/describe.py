"""One line for people about a frame, or about bytes that are none."""

from __future__ import annotations

from dataclasses import fields

from tinyllm.host.link import messages as protocol
from tinyllm.host.link.frames import Frame, Stray, damage


def describe(item: Frame | Stray) -> str:
    """Sequence number, name and fields of a message; what is wrong with anything else."""
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
    """Text as text; of damaged frames what they seem to be, and why they are not valid."""
    text = as_text(data)
    return f"text {text!r}" if text is not None else f"damaged ({damage(data)}): {data.hex(' ')}"


def as_text(data: bytes) -> str | None:
    """The text that people would read in it, None if it is no text: line ends, tabs and escape sequences are."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return text if all(c.isprintable() or c in "\r\n\t\b\x1b\x07" for c in text) else None
