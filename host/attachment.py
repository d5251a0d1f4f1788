"""A board within reach: a port, or the host board that we start ourselves; opened, and found again when it was lost."""

from __future__ import annotations

import time

from tinyllm.boards.errors import TinyllmError
from tinyllm.host.host_board import HostBoard
from tinyllm.host.link import Link
from tinyllm.host.serial_port import PortInfo, find_again, find_port

RETRY_SECONDS = 0.5
REOPEN_HANDSHAKE_SECONDS = 2.5


class Attachment:
    """Where a board is reached. For the host board `reopen` starts a program that ended once more."""

    def __init__(self, where: str | HostBoard) -> None:
        self._board = where if isinstance(where, HostBoard) else None
        self._name = "" if isinstance(where, HostBoard) else where
        self._device: PortInfo | None = None

    @property
    def clock(self) -> str:
        """What the times that the board reports are measured with."""
        return "wall clock of this host process" if self._board else "the board's own clock"

    def open(self) -> Link:
        """Connect; errors as Link."""
        link = Link(self._board.url if self._board else self._name)
        self._device = link.device
        return link

    def reopen(self) -> Link:
        """Connect again after the board was lost, waiting as long as it takes; interrupt to give up."""
        while True:
            if self._board and not self._board.running:
                self._board.start()
            name = self._board.url if self._board else self._found_again()
            if name is not None:
                try:
                    return Link(name, handshake_seconds=REOPEN_HANDSHAKE_SECONDS)
                except TinyllmError:
                    pass
            time.sleep(RETRY_SECONDS)

    def why_lost(self) -> str:
        """What is known about the end of the host board's program; nothing for a port."""
        return self._board.last_words() if self._board else ""

    def _found_again(self) -> str | None:
        """The port's name now: a USB board may come back under another one. None where it is not there yet."""
        if self._device is None or find_port(self._name):
            return self._name
        return find_again(self._device)
