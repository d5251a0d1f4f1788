"""The verb ports: the serial ports of this computer, the boards that may be on them, and names for them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

import click

from tinyllm.boards.description import Board, load_boards
from tinyllm.errors import UserError
from tinyllm.host.cli.options import json_option
from tinyllm.host.link.port_names import BY_SERIAL, give_name, given_names
from tinyllm.host.link.serial_port import PortInfo, list_serial_ports, watch_ports
from tinyllm.host.link.usb import boards_on
from tinyllm.host.output import Output


@click.command()
@click.option(
    "--name",
    "assignments",
    metavar="NAME=PORT",
    multiple=True,
    help="A name for a port: desk1=id:SERIAL or desk1=/dev/ttyACM0, for --port desk1; desk1= forgets it. Repeatable.",
)
@click.option("--watch", is_flag=True, help="Show what comes and goes, until Ctrl-C.")
@json_option
def command(assignments: tuple[str, ...], watch: bool, as_json: bool) -> None:
    """List the serial ports of this computer, and the boards that may be on them."""
    if watch and as_json:
        raise UserError("--watch has no end, so it has no JSON document. Leave one of them out.")
    output = Output(as_json)
    for assignment in assignments:
        give_name(assignment)
    known = load_boards()
    if watch:
        output.note("Watching the serial ports; Ctrl-C ends it.")
        with contextlib.suppress(KeyboardInterrupt):
            for port, here in watch_ports():
                # The names are read anew, because another terminal may give one meanwhile.
                cells = filter(None, (port.device, *_names(port, given_names()), *_cells(port, known)))
                output.line(f"{datetime.now():%H:%M:%S} {'+' if here else '-'} {'   '.join(cells)}")
        return
    names = given_names()
    found = list_serial_ports()
    if as_json:
        facts = [asdict(port) | {"boards": _boards(port, known), "names": _names(port, names)} for port in found]
        output.document({"ports": facts, "names": names})
        return
    if found:
        rows = [[port.device, ", ".join(_names(port, names)), *_cells(port, known)] for port in found]
        headers = ["port", "name", "usb id", "serial number", "board", "description"]
        output.table(
            headers,
            [[cell or "-" for cell in row[:-1]] + row[-1:] for row in rows],
            wraps=["name", "board", "description"],
        )
    else:
        output.note("No serial ports. Plug a board in; if it stays away, try another cable: some only charge.")
    shown = {name for port in found for name in _names(port, names)}
    for name in sorted(names.keys() - shown):
        output.line(f"{name} = {names[name]}")


def _cells(port: PortInfo, known: Sequence[Board]) -> list[str]:
    """USB id, serial number, boards and description; each is "" if the port has none."""
    usb_id = f"{port.vid:04x}:{port.pid:04x}" if port.vid is not None else ""
    return [usb_id, port.serial_number or "", ", ".join(_boards(port, known)), port.description]


def _boards(port: PortInfo, known: Sequence[Board]) -> list[str]:
    return [board.name for board in boards_on(port, known)]


def _names(port: PortInfo, names: dict[str, str]) -> list[str]:
    """The names that a person gave to this port or to the device on it."""
    meanings = {port.device, f"{BY_SERIAL}{port.serial_number or ''}".lower()}
    return [name for name, meant in names.items() if meant in meanings or meant.lower() in meanings]
