"""The verb serve: lets programs reach a board through OpenAI's API."""

from __future__ import annotations

import click

from tinyllm.errors import UserError
from tinyllm.host.api.board import Board
from tinyllm.host.cli.model_options import MODEL_HELP, load_options, model_argument
from tinyllm.host.cli.options import board_option, http_port_option, json_option, port_option, virtual_option
from tinyllm.host.cli.tools_option import tools_option
from tinyllm.host.connect.attach import BoardRequest
from tinyllm.host.model.load import LoadOptions
from tinyllm.host.output import Output


@click.command(epilog=MODEL_HELP)
@model_argument
@board_option
@virtual_option
@port_option
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="The address to listen on.")
@http_port_option
@click.option("--key", metavar="KEY", envvar="TINYLLM_KEY", help="What requests must have; or in TINYLLM_KEY.")
@click.option(
    "--queue",
    "most_waiting",
    metavar="N",
    type=click.IntRange(0, 1000),
    default=16,
    show_default=True,
    help="Requests that may wait for the board.",
)
@click.option("--no-system", is_flag=True, help="Leave the system messages of requests out.")
@click.option("--allow-host", metavar="NAME", multiple=True, help="Another name of this computer in requests.")
@click.option("--allow-origin", metavar="URL", multiple=True, help="A web page's origin that may ask.")
@tools_option
@load_options
@json_option
def command(
    model: str | None,
    board: str,
    virtual: bool,
    port: str | None,
    host: str,
    http_port: int,
    key: str | None,
    most_waiting: int,
    no_system: bool,
    allow_host: tuple[str, ...],
    allow_origin: tuple[str, ...],
    options: LoadOptions,
    as_json: bool,
) -> None:
    """Let programs that speak OpenAI's API talk with the model, until Ctrl-C."""
    try:
        from tinyllm.host.serve.app import application
        from tinyllm.host.serve.board_queue import BoardQueue
        from tinyllm.host.serve.conversations import Conversations
        from tinyllm.host.serve.guard import Access, is_loopback
        from tinyllm.host.serve.server import Server, bind, serve, url_of
    except ImportError as error:
        raise UserError(f"serve needs the package {error.name}: pip install 'tinyllm[serve]'") from None
    if key is not None and not key.strip():
        raise UserError("--key is empty; expected a word that requests must have.")
    if key is None and not is_loopback(host):
        raise UserError(f"--host {host}: others can reach this address. Say --key KEY too, or leave --host out.")
    output = Output(as_json)
    request = BoardRequest(model, options, board, port, virtual)
    with bind(host, http_port) as bound, Board(request, output) as running:
        queue = BoardQueue(Conversations(running, not no_system), most_waiting)
        if as_json:
            output.document_line({"url": url_of(bound), "model": running.hello.model, "board": running.hello.board})
        output.note(f"{running.hello.model} on {running.hello.board} at {url_of(bound)}. Ctrl-C ends.")
        names, pages = [name.lower() for name in allow_host], [page.rstrip("/") for page in allow_origin]
        try:
            serve(Server(application(queue, Access(host, key, names, pages)), queue.end), bound)
        finally:
            queue.end()
            queue.join()
