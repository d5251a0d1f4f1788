"""Options that several verbs share."""

from __future__ import annotations

import click

from tinyllm.boards.description import HOST
from tinyllm.host.cli.completion import complete_board, complete_port

board_option = click.option(
    "--board",
    metavar="NAME",
    default=HOST,
    show_default=True,
    shell_complete=complete_board,
    help="A board of `tinyllm boards`.",
)
virtual_option = click.option(
    "--virtual", is_flag=True, help="The board's twin on this computer: its program in an emulator."
)
port_option = click.option(
    "--port",
    metavar="PORT",
    shell_complete=complete_port,
    help="A running board: /dev/ttyACM0, COM3, socket://host:port, rfc2217://..., auto.",
)
http_port_option = click.option(
    "--http-port",
    metavar="N",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="The port to listen on, 0 = any that is free.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, all else on stderr.")
seed_option = click.option(
    "--seed", type=int, metavar="N", default=1, show_default=True, help="The same seed and prompt give the same tokens."
)
