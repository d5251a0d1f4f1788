"""The verb web: a page that flashes boards and talks with them, as a static site or served here."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import click

from tinyllm.boards.description import HOST, Board, load_board
from tinyllm.errors import Failure, UserError
from tinyllm.host.api.model import LanguageModel
from tinyllm.host.build.platformio import OutOfReach
from tinyllm.host.cli.completion import complete_board
from tinyllm.host.cli.model_options import MODEL_HELP, load_options, model_argument
from tinyllm.host.cli.options import board_option, http_port_option, json_option, port_option, virtual_option
from tinyllm.host.connect.attach import BoardRequest, attach
from tinyllm.host.model.load import LoadOptions
from tinyllm.host.output import Output
from tinyllm.host.web.images import Image, build_image, check_has_image
from tinyllm.host.web.site import BridgedBoard, Site, check_folder, make_site, write_site

LOOPBACK = "127.0.0.1"


@click.command(epilog=MODEL_HELP)
@model_argument
@click.option(
    "--boards",
    metavar="NAMES",
    shell_complete=complete_board,
    help="Boards of `tinyllm boards`, as pico2,esp32s3: the page can flash the model to these.",
)
@click.option(
    "-o", "--output", "folder", metavar="DIR", type=click.Path(path_type=Path), help="Where the static site goes."
)
@click.option("--serve", "serves", is_flag=True, help="Serve the page here, with a board behind it, until Ctrl-C.")
@board_option
@virtual_option
@port_option
@http_port_option
@load_options
@json_option
def command(
    model: str | None,
    boards: str | None,
    folder: Path | None,
    serves: bool,
    board: str,
    virtual: bool,
    port: str | None,
    http_port: int,
    options: LoadOptions,
    as_json: bool,
) -> None:
    """Write a page that puts the model on a board and talks with it, in a browser with Web Serial."""
    if not serves and folder is None:
        raise UserError("say where the site goes (-o DIR), or --serve to serve the page here.")
    if not serves and (virtual or port is not None or board != HOST):
        raise UserError("--board, --virtual and --port name the board behind a served page: say --serve too.")
    if model is not None and boards is None and not serves:
        raise UserError("MODEL is for --boards and --serve: a page alone talks with whatever model its board has.")
    output = Output(as_json)
    targets = _targets(boards)
    if folder is not None:
        check_folder(folder)
    images, missing = _images(model, options, targets, output)
    site = make_site(images)
    document = {"boards": [image.board.name for image in images], "missing": missing, "site": folder and str(folder)}
    if folder is not None:
        write_site(site, folder)
    if not serves:
        if as_json:
            output.document(document)
        else:
            output.line(f"site: {folder}. Any web server shows it, by https:// or on localhost.")
        return
    request = BoardRequest(model, options, board, port, virtual)
    _serve(site, folder, request, http_port, output, document)


def _targets(boards: str | None) -> list[Board]:
    """The named boards, each once. Raises UserError for an unknown board, and for one that no page can flash."""
    names = dict.fromkeys(name.strip() for name in (boards or "").split(",") if name.strip())
    if boards is not None and not names:
        raise UserError("--boards names no board; expected names as pico2,esp32s3.")
    found = [load_board(name) for name in names]
    for board in found:
        check_has_image(board)
    return found


def _images(
    model: str | None, options: LoadOptions, boards: list[Board], output: Output
) -> tuple[list[Image], dict[str, str]]:
    """The images that can be built here, and for each other board why not. Failure if none can be built."""
    images: list[Image] = []
    missing: dict[str, str] = {}
    loaded = LanguageModel.read(model, options) if boards else None
    for board in boards:
        assert loaded is not None
        with output.working(f"building {loaded.name} for {board.name}") as step:
            try:
                images.append(build_image(loaded, board, step, output.note))
            except OutOfReach as error:
                missing[board.name] = str(error).splitlines()[0]
    if boards and not images:
        raise Failure("\n".join([*missing.values(), "Write the site on a machine with internet."]))
    for why in missing.values():
        output.warning(f"{why} The page cannot flash it.")
    return images, missing


def _serve(
    site: Site,
    folder: Path | None,
    request: BoardRequest,
    http_port: int,
    output: Output,
    document: Mapping[str, object],
) -> None:
    try:
        from tinyllm.host.serve.guard import Access
        from tinyllm.host.serve.server import Server, bind, serve, url_of
        from tinyllm.host.web.app import application
        from tinyllm.host.web.bridge import Bridge
    except ImportError as error:
        raise UserError(f"web --serve needs the package {error.name}: pip install 'tinyllm[web]'") from None
    with ExitStack() as opened:
        bound = opened.enter_context(bind(LOOPBACK, http_port))
        if folder is None:
            folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="tinyllm-web-")))
            write_site(site, folder)
        connection = opened.enter_context(attach(request, output))
        with connection.open() as link:
            bridged = BridgedBoard(link.hello.board, link.hello.model, connection.clock)
        app = application(folder, site.for_bridge(bridged), Bridge(connection), Access(LOOPBACK, verb=""))
        url = url_of(bound, "/")
        if output.as_json:
            output.document_line({**document, "url": url, "model": bridged.model, "board": bridged.board})
        output.note(f"{bridged.model} on {bridged.board}: open {url} in a browser. Ctrl-C ends.")
        serve(Server(app, lambda: None, "websockets-sansio"), bound)
