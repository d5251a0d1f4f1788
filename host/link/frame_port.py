"""An open port that carries frames: requests go out with a sequence number, replies come back with it."""

from __future__ import annotations

import random
from collections import deque

import serial

from tinyllm.errors import Failure
from tinyllm.host.link import messages as protocol
from tinyllm.host.link.errors import BoardGone
from tinyllm.host.link.frames import Frame, FrameReader, Stray, encode_frame, lacks_flow_control
from tinyllm.host.link.serial_port import open_port, port_info, read_available
from tinyllm.host.link.wire_log import WireLog

BAUD = 115200
STRAY_BYTES = 1024
"""Most bytes outside frames that are kept, to show what answers on a port."""


class FramePort:
    """A port, and counts of its frames so far.

    damaged_frames: pieces that were no valid frame. without_flow_control: how many of them are valid once an XON or
    XOFF is put back in. echoed_frames: requests that came back, as from a half-duplex adapter that hears itself.
    late_replies: replies to requests that nobody waits for.
    """

    def __init__(self, name: str, baud: int = BAUD, wire: WireLog | None = None) -> None:
        """Open the port; errors as open_port. wire: gets every byte both ways."""
        self.name = name
        self.device = port_info(name)
        self.damaged_frames = 0
        self.echoed_frames = 0
        self.late_replies = 0
        self.without_flow_control = 0
        self._wire = wire
        self._port = open_port(name, baud)
        self._reader = FrameReader()
        self._inbox: deque[Frame] = deque()
        self._sequence = random.randrange(256)

    @property
    def pending(self) -> bytes:
        """Bytes since the last frame: the beginning of the next one, or text."""
        return self._reader.pending

    def send(self, request: protocol.Request, before: bytes = b"", sequence: int | None = None) -> int:
        """Write one request, after any bytes `before` it, and return its sequence number.

        sequence: the number to give it; None takes the next one. Raises BoardGone if the port is gone.
        """
        if sequence is None:
            # 0 is skipped: it marks replies to no request.
            sequence = self._sequence = self._sequence % 255 + 1
        data = before + encode_frame(protocol.to_frame(request, sequence))
        if self._wire:
            self._wire.sent(data)
        try:
            self._port.write(data)
        except (serial.SerialException, OSError) as error:
            raise BoardGone(f"{self.name}: the board went away ({error}).") from None
        return sequence

    def number_from(self, sequence: int) -> None:
        """Give the next request this number, 1 to 255, and count on from it; no request may be waiting for a reply.

        The same requests then always have the same bytes, and cost a board the same instructions.
        """
        self._sequence = sequence - 1

    def receive(self, *sequences: int, stray: bytearray | None = None) -> tuple[int, protocol.Reply | None]:
        """The sequence number and reply of the next reply to one of `sequences`; 0, None if none came in POLL_SECONDS.

        A report of a corrupt frame (sequence 0) counts as a reply too. Replies to earlier requests are dropped.
        stray: gets bytes outside frames, at most STRAY_BYTES. Raises BoardGone if the port is gone, Failure for a reply
        that is malformed.
        """
        if not self._inbox:
            for item in self._reader.feed(self._read()):
                if isinstance(item, Stray):
                    self._note(item, stray)
                elif item.type in protocol.REPLY_TYPES:
                    self._inbox.append(item)
                elif item.type in protocol.REQUEST_TYPES:
                    self.echoed_frames += 1
                else:
                    self._note(Stray(encode_frame(item)), stray)
        while self._inbox:
            frame = self._inbox.popleft()
            try:
                reply = protocol.parse_reply(frame)
            except protocol.MalformedBody as error:
                raise Failure(f"{self.name}: a malformed reply came ({error}). Flash the board again.") from None
            corrupt = isinstance(reply, protocol.Error) and reply.code == protocol.ErrorCode.CORRUPT
            if frame.sequence in sequences or (corrupt and frame.sequence == 0):
                return frame.sequence, reply
            self.late_replies += 1
        return 0, None

    def _read(self) -> bytes:
        try:
            data = read_available(self._port)
        except (serial.SerialException, OSError) as error:
            raise BoardGone(f"{self.name}: the board went away ({error}).") from None
        if self._wire and data:
            self._wire.received(data)
        return data

    def _note(self, item: Stray, stray: bytearray | None) -> None:
        if item.data == protocol.ATTENTION[:1] or (self.echoed_frames and not item.data.strip(b"\x03\r\n")):
            return  # An echo of the bytes before a HELLO; a terminal may have changed the line end.
        self.damaged_frames += 1
        self.without_flow_control += lacks_flow_control(item.data)
        if stray is not None:
            stray += item.data[: STRAY_BYTES - len(stray)]
