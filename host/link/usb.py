"""Finding a board by the USB numbers of its port, or by the drive that it shows while it waits for a program."""

from __future__ import annotations

from collections.abc import Sequence

from tinyllm.boards.description import Board, load_boards
from tinyllm.errors import UserError
from tinyllm.host.link.drives import drives
from tinyllm.host.link.port_names import BY_SERIAL
from tinyllm.host.link.serial_port import PortInfo, list_serial_ports

NONE_ATTACHED = (
    "no board is attached: no port shows the USB numbers of a board that `tinyllm boards` lists.\n"
    "Plug one in with a cable that carries data, or name it with --board and --port."
)


def boards_on(port: PortInfo, known: Sequence[Board]) -> list[Board]:
    """The boards with this port's USB numbers. Many boards share the numbers of a USB-to-UART bridge."""
    return [board for board in known if any((usb.vid, usb.pid) == (port.vid, port.pid) for usb in board.usb)]


def attached(known: Sequence[Board]) -> list[tuple[PortInfo, list[Board]]]:
    """The ports that may be a board's, each with the boards that fit its USB numbers."""
    found = [(port, boards_on(port, known)) for port in list_serial_ports()]
    return [(port, boards) for port, boards in found if boards]


def ports_of(board: Board) -> list[PortInfo]:
    """The ports that show one of the board's USB numbers."""
    return [port for port in list_serial_ports() if boards_on(port, [board])]


def find_board_port(board: Board, suggest_virtual: bool = False) -> PortInfo | None:
    """The one port that may be the board's; None if the board waits for a program as a drive.

    suggest_virtual: mention --virtual in the error. Raises UserError if there is none, or more than one.
    """
    ports = ports_of(board)
    if len(ports) == 1:
        return ports[0]
    if ports:
        raise UserError(f"{len(ports)} ports may be a {board.name}: {_listed(ports)}. {_say_which(ports)}")
    if board.bootloader_drive and board.bootloader_drive in drives():
        return None
    raise UserError(_missing(board, "--port, or add --virtual" if suggest_virtual and board.virtual else "--port"))


def find_running(board: Board | None, suggest_virtual: bool = False) -> str:
    """The device of the one attached board that runs a program. board: the kind to look for; None for any.

    Errors as find_board_port and find_any_port; UserError too if the board waits for a program.
    """
    if board is None:
        return find_any_port().device
    found = find_board_port(board, suggest_virtual)
    if found is None:
        raise UserError(f"{board.name} waits for a program: `tinyllm flash --board {board.name}`.")
    return found.device


def find_any_port() -> PortInfo:
    """The one port that may be a board's. The board itself will say which kind it is.

    Raises UserError if there is none, or more than one.
    """
    known = load_boards()
    ports = [port for port, _ in attached(known)]
    if len(ports) == 1:
        return ports[0]
    if ports:
        raise UserError(f"{len(ports)} ports may be a board's: {_listed(ports)}. {_say_which(ports)}")
    shown = drives()
    waiting = [board.name for board in known if board.bootloader_drive in shown]
    if waiting:
        raise UserError(f"{' or '.join(waiting)} waits for a program: `tinyllm flash --board {waiting[0]}`.")
    raise UserError(NONE_ATTACHED)


def find_board() -> Board:
    """The one kind of board that is attached, to build for it. UserError if there is none, or if it may be several."""
    known = load_boards()
    names = {board.name for _, boards in attached(known) for board in boards}
    shown = drives()
    names |= {board.name for board in known if board.bootloader_drive in shown}
    if len(names) == 1:
        return next(board for board in known if board.name in names)
    if not names:
        raise UserError(NONE_ATTACHED)
    raise UserError(f"the board that is attached may be {' or '.join(sorted(names))}. Say which it is with --board.")


def every_attached(named: Board | None = None) -> list[tuple[PortInfo, list[Board]]]:
    """Every port that may be a board's, each with the boards that fit its USB numbers.

    named: only the ports that may be this board's, each assumed to be. Raises UserError if there is none.
    """
    if named is None:
        found = attached(load_boards())
        if not found:
            raise UserError(NONE_ATTACHED)
        return found
    ports = ports_of(named)
    if not ports:
        raise UserError(_missing(named, "--port"))
    return [(port, [named]) for port in ports]


def _missing(board: Board, instead: str) -> str:
    """The error for a board that was not found, with advice; `instead`: the options that need no USB numbers."""
    if not board.usb:
        return f"{board.name} has no USB numbers in its description. Say where it is with {instead}."
    numbers = " or ".join(f"{usb.vid:04x}:{usb.pid:04x}" for usb in board.usb)
    there = _listed(list_serial_ports()) or "none"
    drive = f", and no drive named {board.bootloader_drive}" if board.bootloader_drive else ""
    bootsel = " For its first program hold BOOTSEL while you plug it in." if board.bootloader_drive else ""
    return (
        f"no {board.name} was found: no port with the USB numbers {numbers}{drive}. Ports that are there: {there}.\n"
        f"Plug it in with a cable that carries data.{bootsel} Or say where it is with {instead}."
    )


def _say_which(ports: Sequence[PortInfo]) -> str:
    """Advice with an example of --port: the serial number if possible, since it holds when the board is moved."""
    number = ports[0].serial_number
    numbers = [port.serial_number for port in ports]
    example = f"{BY_SERIAL}{number}" if number and numbers.count(number) == 1 else ports[0].device
    return f"Say which one with --port, as in --port {example}."


def _listed(ports: Sequence[PortInfo]) -> str:
    """The ports by name, each with its description and serial number, which tell boards apart."""
    texts = []
    for port in ports:
        told = ", ".join(filter(None, (port.description, port.serial_number and f"serial {port.serial_number}")))
        texts.append(f"{port.device} ({told})" if told else port.device)
    return ", ".join(texts)
