"""The verb chat: a conversation with a model, and slash commands."""

from __future__ import annotations

import sys

import click

from tinyllm.cache_folder import home
from tinyllm.errors import UserError
from tinyllm.host.api.board import Board
from tinyllm.host.cli.model_options import MODEL_HELP, load_options, model_argument
from tinyllm.host.cli.options import board_option, json_option, port_option, virtual_option
from tinyllm.host.cli.tools_option import tools_option
from tinyllm.host.cli.turn_options import raw_option, system_option
from tinyllm.host.connect.attach import BoardRequest
from tinyllm.host.model.load import LoadOptions
from tinyllm.host.output import Output
from tinyllm.host.terminal.chat import COMMANDS, Chat
from tinyllm.host.terminal.keyboard import quiet_keyboard
from tinyllm.host.terminal.screen import Commands, LineScreen, Screen
from tinyllm.host.terminal.terminal_screen import TerminalScreen


@click.command(epilog=MODEL_HELP)
@model_argument
@board_option
@virtual_option
@port_option
@raw_option
@system_option
@tools_option
@load_options
@json_option
def command(
    model: str | None,
    board: str,
    virtual: bool,
    port: str | None,
    raw: bool,
    system: str | None,
    options: LoadOptions,
    as_json: bool,
) -> None:
    """Talk with the model; /help lists what can be changed on the way."""
    output = Output(as_json)
    request = BoardRequest(model, options, board, port, virtual)
    with quiet_keyboard(), Board(request, output) as running:
        session = Chat(running, running.chat(system, raw), open_screen(output, COMMANDS))
        session.run()
        if as_json:
            output.document(session.chat.transcript())


def open_screen(output: Output, commands: Commands) -> Screen:
    """A terminal screen if stdin and stdout are a terminal; else plain lines, answers on stdout (--json: stderr)."""
    if output.as_json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return LineScreen(output, sys.stdin, sys.stderr if output.as_json else sys.stdout)
    try:
        history = home() / "chat_history"
    except UserError:
        history = None
    return TerminalScreen(output, commands, history)
