"""The verb ports: the serial ports of this computer, and the boards that may be on them."""

from __future__ import annotations

from dataclasses import asdict

import click

from tinyllm.boards.description import load_boards
from tinyllm.host.cli.options import json_option
from tinyllm.host.link.serial_port import list_serial_ports
from tinyllm.host.link.usb import boards_on
from tinyllm.host.output import Output


@click.command()
@json_option
def command(as_json: bool) -> None:
    """List the serial ports of this computer, and the boards that may be on them."""
    output = Output(as_json)
    known = load_boards()
    found = [(port, [board.name for board in boards_on(port, known)]) for port in list_serial_ports()]
    if as_json:
        output.document({"ports": [asdict(port) | {"boards": names} for port, names in found]})
        return
    if not found:
        output.note("No serial ports. Plug a board in; if it stays away, try another cable: some only charge.")
        return
    rows = [
        [port.device, f"{port.vid:04x}:{port.pid:04x}" if port.vid is not None else "-", names or "-", port.description]
        for port, names in ((port, ", ".join(names)) for port, names in found)
    ]
    output.table(["port", "usb id", "board", "description"], rows)
