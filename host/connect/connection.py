"""Opens the connection to a board on a port or in a process of ours, and opens it again after the board was lost."""

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
"""How long a port may stay silent. A process of ours is known to be starting, so it gets the whole handshake time."""


class Connection:
    """A board on a port or in a process of ours. `reopen` starts the process again if it has ended."""

    def __init__(self, target: str | BoardProcess) -> None:
        """target: the process, or a port: device, URL, id:SERIAL or given name."""
        self.process = target if isinstance(target, BoardProcess) else None
        self._name = "" if isinstance(target, BoardProcess) else target
        self._device: PortInfo | None = None
        self._board = ""

    @property
    def on_hardware(self) -> bool:
        """Whether the board is a real chip, by the name that it reports."""
        return self.process is None and self._board != HOST and not self._board.endswith(TWIN)

    @property
    def clock(self) -> str:
        """The clock that the board's reported times come from."""
        if self.process:
            return self.process.clock
        if self.on_hardware:
            return "the board's own clock"
        return "wall clock of a host process" if self._board == HOST else f"emulated clock of {self._board}"

    def open(self, wire: WireLog | None = None) -> Link:
        """Connect. `wire` as Link takes it; errors as Link and resolve_port."""
        if self.process:
            link = Link(self.process.url, wire=wire)
        else:
            link = Link(resolve_port(self._name), HANDSHAKE_SECONDS, SILENCE_SECONDS, wire)
        self._device = link.device
        self._board = link.hello.board
        return link

    def reopen(self, wire: WireLog | None = None, patience: float = math.inf) -> Link:
        """Connect again after the board was lost. Retries for `patience` seconds, then raises the last error.

        By default retries until interrupted.
        """
        deadline = time.monotonic() + patience
        while True:
            self.start()
            try:
                link = Link(self.address(), REOPEN_HANDSHAKE_SECONDS, wire=wire)
            except TinyllmError:
                if time.monotonic() > deadline:
                    raise
            else:
                self._board = link.hello.board
                return link
            time.sleep(RETRY_SECONDS)

    def start(self) -> None:
        """Start the board's process again if it has ended. Errors as BoardProcess.start."""
        if self.process and not self.process.running:
            self.process.start()

    def address(self) -> str:
        """The device or URL of the board now. UserError if it is not plugged in; errors as find_port_again."""
        name = self.process.url if self.process else find_port_again(self._name, self._device)
        if name is None:
            raise UserError(f"{self._name}: the board is not plugged in.")
        return name

    def why_lost(self) -> str:
        """How the board's process ended; "" for a port."""
        return self.process.last_words() if self.process else ""
