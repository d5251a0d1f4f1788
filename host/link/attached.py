"""Finds out which of several boards with the same USB numbers is on a port: the program that runs there says so."""

from __future__ import annotations

from collections.abc import Sequence

from tinyllm.boards.description import Board
from tinyllm.errors import TinyllmError, UserError
from tinyllm.host.link.link import Link
from tinyllm.host.link.serial_port import PortInfo, check_usable

HANDSHAKE_SECONDS = 3.0


def board_on(port: PortInfo, fitting: Sequence[Board]) -> Board:
    """The board on a port: the only one in `fitting`, or the one of them that answers there.

    fitting: the boards with the USB numbers of the port. Raises UserError if the port cannot be used, or if there are
    several boards and no program there names one of them.
    """
    check_usable(port.device)
    if len(fitting) == 1:
        return fitting[0]
    try:
        with Link(port.device, handshake_seconds=HANDSHAKE_SECONDS) as link:
            said = link.hello.board
    except TinyllmError as error:
        said = f"nobody says which: {str(error).splitlines()[0].removeprefix(f'{port.device}: ')}"
    else:
        for board in fitting:
            if board.name == said:
                return board
        said = f"it says {said}"
    names = " or ".join(sorted(board.name for board in fitting))
    raise UserError(
        f"{port.device} may be {names}, and {said}\nSay which it is: tinyllm flash --board NAME --port {port.device}"
    )
