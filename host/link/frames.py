"""Frames on a byte stream that also carries text: docs/protocol.md, section "Frames"."""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from dataclasses import dataclass

from cobs import cobs

MAX_PAYLOAD = 8192
"""Most bytes of type, sequence, body and CRC that this side accepts; boards send far fewer."""

MAX_ENCODED = MAX_PAYLOAD + MAX_PAYLOAD // 254 + 1
"""COBS adds one byte to every 254 and one more."""


XON, XOFF = b"\x11", b"\x13"
"""Bytes that software flow control removes from a stream; frames may hold them."""

LONGEST_MENDED = 300
"""Most bytes of a damaged frame that is searched for a missing XON or XOFF."""


@dataclass(frozen=True)
class Frame:
    """A frame with a valid CRC: type and sequence are u8, body is the message's."""

    type: int
    sequence: int
    body: bytes


@dataclass(frozen=True)
class Stray:
    """Bytes between two zeros that are no valid frame: text, line noise or a damaged frame."""

    data: bytes


def encode_frame(frame: Frame) -> bytes:
    """The bytes on the wire: 00, COBS of type, sequence, body and CRC-16 (little-endian), 00."""
    payload = bytes((frame.type, frame.sequence)) + frame.body
    return b"\x00%b\x00" % cobs.encode(payload + crc16(payload).to_bytes(2, "little"))


def damage(encoded: bytes) -> str:
    """Why bytes between two zeros are no frame, with the sequence number and type that they would have."""
    missing = ", valid with an XON or XOFF put back in" if lacks_flow_control(encoded) else ""
    try:
        payload = cobs.decode(encoded)
    except cobs.DecodeError:
        return f"not COBS{missing}"
    if len(payload) < 4:
        return f"too short for a frame{missing}"
    sent, computed = int.from_bytes(payload[-2:], "little"), crc16(payload[:-2])
    return f"#{payload[1]} type {payload[0]:02x}, CRC {sent:04x} instead of {computed:04x}{missing}"


def decode_frame(encoded: bytes) -> Frame | None:
    """The frame in `encoded` (without its zeros), or None if COBS, length or CRC does not hold."""
    if len(encoded) > MAX_ENCODED:
        return None
    try:
        payload = cobs.decode(encoded)
    except cobs.DecodeError:
        return None
    if len(payload) < 4 or crc16(payload[:-2]) != int.from_bytes(payload[-2:], "little"):
        return None
    return Frame(payload[0], payload[1], bytes(payload[2:-2]))


def lacks_flow_control(encoded: bytes) -> bool:
    """Whether bytes that are no frame become one if a single XON or XOFF is put back in."""
    if len(encoded) > LONGEST_MENDED:
        return False
    places = range(len(encoded) + 1)
    return any(decode_frame(encoded[:at] + eaten + encoded[at:]) for at in places for eaten in (XON, XOFF))


def crc16(data: bytes) -> int:
    """CRC-16/CCITT-FALSE: polynomial 0x1021, initial value 0xFFFF, not reflected, no final XOR."""
    return binascii.crc_hqx(data, 0xFFFF)


class FrameReader:
    """Separates frames from everything else in a stream, no matter in which pieces the stream arrives.

    Holds at most MAX_ENCODED bytes.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._overlong = False  # too many bytes since the last zero: no frame, whatever their end looks like

    @property
    def pending(self) -> bytes:
        """Bytes since the last zero: the beginning of a frame, or text."""
        return bytes(self._buffer)

    def feed(self, data: bytes) -> Iterator[Frame | Stray]:
        """Yield the frames and stray bytes that `data` completes, in order of arrival."""
        *closed, rest = data.split(b"\x00")
        for segment in closed:
            yield from self._overflow(segment)
            encoded = bytes(self._buffer)
            frame = None if self._overlong else decode_frame(encoded)
            self._buffer.clear()
            self._overlong = False
            if encoded:
                yield frame or Stray(encoded)
        yield from self._overflow(rest)

    def _overflow(self, segment: bytes) -> Iterator[Stray]:
        """Append to the buffer; yield as stray the bytes that are too many for a frame."""
        self._buffer += segment
        while len(self._buffer) > MAX_ENCODED:
            self._overlong = True
            stray = Stray(bytes(self._buffer[: MAX_ENCODED + 1]))
            del self._buffer[: MAX_ENCODED + 1]
            yield stray
