"""The part of the RP2040's and the RP2350's boot ROM that starts the second core.

RP2040 datasheet section 2.8.2, RP2350 datasheet section 5.3: core 1 sleeps in the ROM until an event, then echoes every
word that it receives. After the words 0, 0, 1, vector table, stack pointer and entry it jumps to the entry. A wrong
word begins the sequence again.
"""

from __future__ import annotations

from dataclasses import dataclass

from tinyllm.host.virtual.unicorn.devices import Fifos

BEGINNING = (0, 0, 1)
WORDS = 6


@dataclass(frozen=True)
class Launch:
    """The address at which core 1 begins, and its stack pointer."""

    entry: int
    stack: int


class BootRom:
    """Core 1 before it is launched."""

    def __init__(self, fifos: Fifos) -> None:
        self._fifos = fifos
        self._heard: list[int] = []

    def answer(self, time: int) -> Launch | None:
        """Handle an event from core 0 at `time`: echo the FIFO's words. Return the launch if they complete it."""
        while (word := self._fifos.take(1)) is not None:
            self._fifos.send(0, word, time)
            if len(self._heard) < len(BEGINNING) and word != BEGINNING[len(self._heard)]:
                self._heard.clear()
            else:
                self._heard.append(word)
            if len(self._heard) == WORDS:
                return Launch(entry=self._heard[5], stack=self._heard[4])
        return None
