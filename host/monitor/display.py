"""Three displays for the bytes from a board: as they are, as lines of text with times, or as frames."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from tinyllm.host.link.describe import as_text, describe
from tinyllm.host.link.frames import Frame, FrameReader

Write = Callable[[bytes], None]
CLOCK = "%H:%M:%S.%f"
KEPT_CONTROLS = "\r\n\t\b"
"""The control characters that a terminal gets; any other is shown as an escape."""


class Display(Protocol):
    """Shows the bytes from a board."""

    def feed(self, data: bytes) -> None:
        """Show these bytes."""

    def idle(self) -> None:
        """Called when no more bytes came for a while."""

    def fresh_line(self) -> None:
        """End a line that has begun, before other output."""


class RawBytes:
    """For pipes and files: the bytes as they came."""

    def __init__(self, write: Write) -> None:
        self._write = write

    def feed(self, data: bytes) -> None:
        self._write(data)

    def idle(self) -> None:
        pass

    def fresh_line(self) -> None:
        pass


class Text:
    """The text voice. Bytes that are not UTF-8 and control characters that could steer a terminal become escapes.

    timestamps: each line begins with the time at which its first character came.
    """

    def __init__(self, write: Write, timestamps: bool = False) -> None:
        self._write, self._timestamps = write, timestamps
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._at_start = True

    def feed(self, data: bytes) -> None:
        shown = []
        for character in self._decoder.decode(data):
            if self._timestamps and character == "\r":
                continue
            if self._timestamps and self._at_start:
                shown.append(f"{now()} ")
            shown.append(character if character in KEPT_CONTROLS or character.isprintable() else escaped(character))
            self._at_start = character == "\n"
        self._write(encoded("".join(shown)))

    def idle(self) -> None:
        pass

    def fresh_line(self) -> None:
        if not self._at_start:
            self.feed(b"\n")


class Frames:
    """One line for each frame, for what seems to be a damaged one, and for text between frames."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._reader = FrameReader()

    def feed(self, data: bytes) -> None:
        for item in self._reader.feed(data):
            self._line("<", describe(item))

    def idle(self) -> None:
        """Show text before a frame ends it: frames come in one piece, and people want to see the text they type."""
        text = as_text(self._reader.pending)
        if text:
            self._line("<", f"text {text!r}")
            self._reader = FrameReader()

    def fresh_line(self) -> None:
        self.idle()

    def sent(self, frame: Frame) -> None:
        """Show a frame that went to the board."""
        self._line(">", describe(frame))

    def _line(self, way: str, text: str) -> None:
        self._write(encoded(f"{now()} {way} {text}\n"))


def now() -> str:
    """The time of day, to the millisecond."""
    return datetime.now().strftime(CLOCK)[:-3]


def escaped(character: str) -> str:
    """A character as Python writes it, such as \\x1b."""
    return character.encode("unicode_escape").decode()


def encoded(text: str) -> bytes:
    """The text in the encoding of stdout; characters that it lacks become escapes."""
    return text.encode(sys.stdout.encoding or "utf-8", "backslashreplace")
