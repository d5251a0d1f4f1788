"""The classes for labgrid environment files: TinyllmDriver, a board on a port, and TinyllmStrategy, which flashes it.

An environment file imports this module with `imports:`, which registers both.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import attr
from labgrid.driver import Driver
from labgrid.factory import target_factory
from labgrid.resource import NetworkSerialPort
from labgrid.step import step
from labgrid.strategy import Strategy, StrategyError
from labgrid.util.proxy import proxymanager

from tinyllm.errors import UserError
from tinyllm.host.api.board import Board
from tinyllm.host.api.model import LanguageModel
from tinyllm.host.build.build import ignore
from tinyllm.host.build.flash import Flashed, board_to_flash
from tinyllm.host.connect.attach import BoardRequest
from tinyllm.host.model.load import AS_STORED, LoadOptions

SCHEMES = {"raw": "socket://{host}:{port}", "rfc2217": "rfc2217://{host}:{port}?ign_set_control"}
"""Protocol of a NetworkSerialPort -> the board's port. ign_set_control: ser2net does not confirm every line change."""


@target_factory.reg_driver
@attr.s(eq=False)
class TinyllmDriver(Driver):
    """A board that runs a language model, on a serial port of a place or of this computer.

    board: a name from `tinyllm boards`. model, context, weights: what to flash, as `tinyllm flash` takes them; None for
    the default.
    """

    bindings = {"port": {"NetworkSerialPort", "SerialPort"}}  # noqa: RUF012 - labgrid reads it

    board: str = attr.ib(validator=attr.validators.instance_of(str))
    model: str | None = attr.ib(default=None, validator=attr.validators.optional(attr.validators.instance_of(str)))
    context: int | None = attr.ib(default=None, validator=attr.validators.optional(attr.validators.instance_of(int)))
    weights: str | None = attr.ib(default=None, validator=attr.validators.optional(attr.validators.instance_of(str)))

    def url(self) -> str:
        """The board's port: a device of this computer, or an address. UserError for a protocol not in SCHEMES."""
        if not isinstance(self.port, NetworkSerialPort):
            return str(self.port.port)
        if self.port.protocol not in SCHEMES:
            raise UserError(f"{self.target.name}: its port speaks {self.port.protocol!r}, expected raw or rfc2217.")
        host, port = proxymanager.get_host_and_port(self.port)
        return SCHEMES[self.port.protocol].format(host=f"[{host}]" if ":" in host else host, port=port)

    def address(self) -> str | None:
        """The board's port now, None if it is away. An exporter gives a USB board that comes back another address."""
        self.port.poll()
        return self.url() if self.port.avail else None

    def request(self, model: str | None = None, options: LoadOptions = AS_STORED) -> BoardRequest:
        """The request to connect to the board as it runs. model, options: what it runs, if not the driver's own."""
        # The context was settled when the program was built.
        own = replace(options, context=None, weights=options.weights or self.weights)
        return BoardRequest(model or self.model, own, self.board, self.url())

    @Driver.check_active
    def open(self, model: str | None = None, options: LoadOptions = AS_STORED) -> Board:
        """Connect to the board as it runs. Arguments as request, errors as Board."""
        return Board(self.request(model, options))

    @Driver.check_active
    @step()
    def flash(
        self,
        model: str | None = None,
        options: LoadOptions = AS_STORED,
        notice: Callable[[str], None] = ignore,
    ) -> Flashed:
        """Build and upload the model, and check that the board runs it. Errors as LanguageModel.read and flash.

        model, options: in place of the driver's own. notice: called with a line that a person should read.
        """
        given = replace(options, context=options.context or self.context, weights=options.weights or self.weights)
        target = board_to_flash(self.board, self.url())
        loaded = LanguageModel.read(model or self.model, given)
        self.logger.info("flashing %s to %s at %s", loaded.name, target.name, self.url())
        return loaded.flash(target, self.url(), self.logger.info, notice, now_at=self.address)


class Status(enum.Enum):
    """States of a board. unknown: as it was found."""

    unknown = 0
    off = 1
    flashed = 2


@target_factory.reg_driver
@attr.s(eq=False)
class TinyllmStrategy(Strategy):
    """Brings a board into a state: `flashed`, or `off` if something of the target switches its power."""

    bindings = {"board": "TinyllmDriver", "power": {"PowerProtocol", None}}  # noqa: RUF012 - labgrid reads it

    status: Status = attr.ib(default=Status.unknown)

    @step(args=["status"])
    def transition(self, status: Status | str, *, step: Any, **flashing: Any) -> None:
        """Bring the board into a state, given as a Status or its name. flashing: arguments of TinyllmDriver.flash.

        Raises StrategyError for an unknown state, or off without a power driver; errors as TinyllmDriver.flash.
        """
        wanted = self._state(status)
        if wanted == self.status:
            step.skip("nothing to do")
            return
        if wanted == Status.off:
            if self.power is None:
                raise StrategyError(f"{self.target.name}: nothing switches its power; give the target a power driver.")
            self.target.deactivate(self.board)
            self.target.activate(self.power)
            self.power.off()
        elif wanted == Status.flashed:
            if self.power is not None:
                self.target.activate(self.power)
                self.power.on()
            self.target.activate(self.board)
            self.board.flash(**flashing)
        self.status = wanted

    @step(args=["status"])
    def force(self, status: Status | str, *, step: Any) -> None:
        """Assume that the board is in this state, so that nothing is flashed: --lg-initial-state flashed."""
        self.status = self._state(status)
        if self.status == Status.flashed:
            self.target.activate(self.board)

    def _state(self, status: Status | str) -> Status:
        names = [known.name for known in Status if known != Status.unknown]
        if isinstance(status, str) and status in names:
            return Status[status]
        if isinstance(status, Status) and status != Status.unknown:
            return status
        raise StrategyError(f"{self.target.name}: no state {status}; expected {' or '.join(names)}.")
