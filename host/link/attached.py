"""Which of the boards that share USB numbers is on a port: the program that runs there says it."""

from __future__ import annotations

from collections.abc import Sequence

from tinyllm.boards.description import Board
from tinyllm.errors import TinyllmError, UserError
from tinyllm.host.link.link import Link
from tinyllm.host.link.serial_port import PortInfo, check_usable

HANDSHAKE_SECONDS = 3.0


def board_on(port: PortInfo, fitting: Sequence[Board]) -> Board:
    """The one board whose USB numbers the port shows, or of several the one that answers there.

    fitting: those that show such numbers. Raises UserError if the port cannot be used, or if nobody says which it is.
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
