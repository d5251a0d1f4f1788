"""The handshake with a board: sends HELLO, and tells what answers if it is no tinyllm."""

from __future__ import annotations

import random
import time

from tinyllm.errors import UserError
from tinyllm.host.link import messages as protocol
from tinyllm.host.link.errors import BoardGone
from tinyllm.host.link.frame_port import FramePort
from tinyllm.host.link.frames import XOFF, XON, encode_frame
from tinyllm.host.link.strangers import known_stranger, repeated_lines
from tinyllm.text import one_line

HELLO_SECONDS = 1.0
"""How long to wait for the answer to one HELLO."""
AFTER_AN_ECHO = b"\x03\r\n\x00\x00"
"""ATTENTION with an empty line: the first HELLO may have been echoed by a prompt that answers only lines."""
SHOWN_BYTES = 60
PROBES = (True, False, False, True, True, False)
"""Whether each HELLO has the byte XON in it. Damage to every second, third or fifth frame has another pattern."""
PROBE_SECONDS = 0.5

FLOW_CONTROL = (
    "XON and XOFF (the bytes 11 and 13) are lost on the way, so software flow control is on somewhere between. "
    "Turn it off in the adapter, the terminal server or the driver: frames need every byte."
)


def say_hello(port: FramePort, seconds: float, silence_seconds: float) -> None:
    """Send HELLO until the board answers; a board that is just starting may miss the first ones.

    seconds: how long to try. silence_seconds: how long, if the board says nothing at all or repeats the same lines.
    Raises UserError that says what was seen instead of a tinyllm of this protocol version.
    """
    begun = time.monotonic()
    seen = bytearray()
    silence_seconds = min(seconds, silence_seconds)
    while True:
        try:
            if _hello(port, begun + seconds, seen):
                port.damaged_frames = port.without_flow_control = 0
                return
        except BoardGone as gone:
            raise UserError(f"{gone} Another program may be talking to it: close that one.") from None
        elapsed = time.monotonic() - begun
        heard = bytes(seen) + port.pending
        if stranger := FLOW_CONTROL if port.without_flow_control > 1 else known_stranger(heard):
            raise UserError(f"{port.name}: {stranger}")
        if elapsed >= silence_seconds and (told := repeated_lines(heard)):
            raise UserError(f"{port.name}: {told}")
        # A board with late replies may be busy with a request of another program.
        silent = not heard and not port.late_replies
        if elapsed >= (silence_seconds if silent else seconds):
            raise UserError(f"{port.name}: {_nobody(port, heard, elapsed)}")


def _hello(port: FramePort, deadline: float, seen: bytearray) -> bool:
    """Send one HELLO; returns whether it is answered in time. `seen` gets the stray bytes."""
    before = port.damaged_frames
    opening = AFTER_AN_ECHO if port.echoed_frames else protocol.ATTENTION
    sequence = port.send(protocol.Hello(), before=opening)
    deadline = min(deadline, time.monotonic() + HELLO_SECONDS)
    while time.monotonic() < deadline:
        _, reply = port.receive(sequence, stray=seen)
        if port.damaged_frames > before:
            # The damaged frame may have been the answer.
            deadline = min(deadline, time.monotonic() + PROBE_SECONDS)
            before = port.damaged_frames
        if isinstance(reply, protocol.Error) and reply.code == protocol.ErrorCode.VERSION:
            raise UserError(_version_differs(port, reply.message))
        if isinstance(reply, protocol.HelloReply):
            if reply.version != protocol.PROTOCOL_VERSION:
                raise UserError(_version_differs(port, str(reply.version)))
            return True
    return False


def _version_differs(port: FramePort, served: str) -> str:
    return (
        f"{port.name}: the board speaks protocol version {one_line(served)}, this tinyllm speaks "
        f"{protocol.PROTOCOL_VERSION}. Update this tool and flash the board again."
    )


def _nobody(port: FramePort, heard: bytes, seconds: float) -> str:
    if port.echoed_frames and not heard:
        return (
            "no tinyllm answers here: the port sends back what it is sent, and nothing else.\n"
            "Check that the adapter's TX and RX are not joined and reach the board, or flash tinyllm first."
        )
    what = f"it sent {heard[:SHOWN_BYTES]!r}" if heard else "it sent nothing"
    if port.late_replies:
        what = "it answers only what another program asked"
    return (
        f"no tinyllm answers here ({what} in {seconds:.1g} s).\n"
        "Check the port (`tinyllm ports`), close other programs that use it, press the board's reset button, "
        "or build and flash tinyllm first. `tinyllm monitor` shows what it says."
    )


def check_flow_control(port: FramePort) -> None:
    """Send HELLO with XON as its sequence number, which the reply repeats, to find out if the line removes XON.

    Raises UserError only if every such frame is lost and all others pass: a line that loses other bytes too may have
    another fault.
    """
    for with_xon in PROBES:
        unexplained, eaten = port.damaged_frames - port.without_flow_control, port.without_flow_control
        passed = _answered(port, XON[0] if with_xon else _number_without_flow_control())
        if port.damaged_frames - port.without_flow_control > unexplained:
            return
        # This result speaks against flow control, unless an XON or XOFF was lost: a reply's CRC may hold one by chance.
        if passed == with_xon and port.without_flow_control == eaten:
            return
    raise UserError(f"{port.name}: {FLOW_CONTROL}")


def _number_without_flow_control() -> int:
    """A sequence number that gives a HELLO without XON and XOFF, in its CRC too."""
    numbers = [n for n in range(1, 256) if not {*XON, *XOFF} & {*encode_frame(protocol.to_frame(protocol.Hello(), n))}]
    return random.choice(numbers)


def _answered(port: FramePort, sequence: int) -> bool:
    port.send(protocol.Hello(), sequence=sequence)
    deadline = time.monotonic() + PROBE_SECONDS
    while time.monotonic() < deadline:
        number, reply = port.receive(sequence)
        if isinstance(reply, protocol.HelloReply):
            return True
        if reply is not None and number == 0:
            return False
    return False
