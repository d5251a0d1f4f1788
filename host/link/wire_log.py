"""The last bytes on the wire, both ways, as text for people."""

from __future__ import annotations

import time
from collections import deque

from tinyllm.host.link.describe import describe
from tinyllm.host.link.frames import FrameReader

KEPT_BYTES = 4096
SHOWN_TEXT = 160
"""Most characters of one line."""


class WireLog:
    """Keeps the last `kept` bytes of each direction, with the seconds at which they passed."""

    def __init__(self, kept: int = KEPT_BYTES) -> None:
        self._start = time.monotonic()
        self._kept = kept
        self._passed: dict[str, deque[tuple[float, bytes]]] = {">": deque(), "<": deque()}
        self._sizes = {">": 0, "<": 0}

    def sent(self, data: bytes) -> None:
        """Note bytes that went to the board."""
        self._note(">", data)

    def received(self, data: bytes) -> None:
        """Note bytes that came from the board."""
        self._note("<", data)

    def _note(self, way: str, data: bytes) -> None:
        passed = self._passed[way]
        passed.append((time.monotonic() - self._start, data))
        self._sizes[way] += len(data)
        while len(passed) > 1 and self._sizes[way] - len(passed[0][1]) >= self._kept:
            self._sizes[way] -= len(passed.popleft()[1])

    def lines(self) -> list[str]:
        """One line for each message or run of other bytes: seconds, > to the board or < from it, its description."""
        said = sorted((entry for way in "><" for entry in self._messages(way)), key=lambda entry: entry[0])
        return [shorten(f"{at:9.3f} {way} {text}") for at, way, text in said]

    def _messages(self, way: str) -> list[tuple[float, str, str]]:
        reader = FrameReader()
        messages = []
        at = 0.0
        for at, data in self._passed[way]:
            messages += [(at, way, describe(item)) for item in reader.feed(data)]
        if reader.pending:
            messages.append((at, way, f"{reader.pending!r} and no more yet"))
        return messages


def shorten(line: str) -> str:
    """A line of at most SHOWN_TEXT characters."""
    return line if len(line) <= SHOWN_TEXT else f"{line[: SHOWN_TEXT - 3]}..."
