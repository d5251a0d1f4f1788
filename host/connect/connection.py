"""A board within reach: a port, or a process that we start ourselves; opened, and found again when it was lost."""

from __future__ import annotations

import math
import time

from tinyllm.boards.description import HOST, TWIN
from tinyllm.errors import TinyllmError, UserError
from tinyllm.host.connect.board_process import BoardProcess
from tinyllm.host.link.link import HANDSHAKE_SECONDS, Link
from tinyllm.host.link.port_names import find_port_again, resolve_port
from tinyllm.host.link.serial_port import PortInfo
from tinyllm.host.link.wire_log import WireLog

RETRY_SECONDS = 0.5
REOPEN_HANDSHAKE_SECONDS = 2.5
SILENCE_SECONDS = 2.0
"""How long a port may say nothing at all. A process of ours is known to be starting, and gets the whole handshake."""


class Connection:
    """Where a board is reached: on a port, or as a process of ours. `reopen` starts a process again that has ended."""

    def __init__(self, where: str | BoardProcess) -> None:
        """where: a port's device, URL, id:SERIAL or given name, or the process."""
        self.process = where if isinstance(where, BoardProcess) else None
        self._name = "" if isinstance(where, BoardProcess) else where
        self._device: PortInfo | None = None
        self._board = ""

    @property
    def on_hardware(self) -> bool:
        """Whether a chip answers, as far as the board's name of itself tells, and not a program of some computer."""
        return self.process is None and self._board != HOST and not self._board.endswith(TWIN)

    @property
    def clock(self) -> str:
        """What the times that the board reports are measured with."""
        if self.process:
            return self.process.clock
        if self.on_hardware:
            return "the board's own clock"
        return "wall clock of a host process" if self._board == HOST else f"emulated clock of {self._board}"

    def open(self, wire: WireLog | None = None) -> Link:
        """Connect; `wire` and errors as Link and resolve_port."""
        if self.process:
            link = Link(self.process.url, wire=wire)
        else:
            link = Link(resolve_port(self._name), HANDSHAKE_SECONDS, SILENCE_SECONDS, wire)
        self._device = link.device
        self._board = link.hello.board
        return link

    def reopen(self, wire: WireLog | None = None, patience: float = math.inf) -> Link:
        """Connect again after the board was lost, waiting as long as it takes; interrupt to give up.

        With `patience` what went wrong last is raised after that many seconds.
        """
        deadline = time.monotonic() + patience
        while True:
            if self.process and not self.process.running:
                self.process.start()
            try:
                name = self.process.url if self.process else find_port_again(self._name, self._device)
                if name is None:
                    raise UserError(f"{self._name}: the board is not plugged in.")
                link = Link(name, REOPEN_HANDSHAKE_SECONDS, wire=wire)
            except TinyllmError:
                if time.monotonic() > deadline:
                    raise
            else:
                self._board = link.hello.board
                return link
            time.sleep(RETRY_SECONDS)

    def why_lost(self) -> str:
        """What is known about the end of the board's process; nothing for a port."""
        return self.process.last_words() if self.process else ""
