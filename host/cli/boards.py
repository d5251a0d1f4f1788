"""The verb boards: the boards that tinyllm knows, and what is attached."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import click

from tinyllm.boards.description import FOLDER, Board, board_files, board_names, load_boards
from tinyllm.boards.families import NAMES, families
from tinyllm.boards.new_board import NewBoard, base_of, write_board
from tinyllm.codegen.kernels.choose import KERNEL_SETS
from tinyllm.codegen.kernels.generic import GENERIC
from tinyllm.errors import UserError
from tinyllm.host.build.board_file import doubts, from_board_file, installed_board_file
from tinyllm.host.cli.completion import complete_board
from tinyllm.host.cli.options import json_option
from tinyllm.host.link.usb import attached
from tinyllm.host.output import Output
from tinyllm.text import shown

PLATFORMIO_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@click.command()
@click.option("--new", "name", metavar="NAME", help="Write the description of a board of your own, with --like.")
@click.option("--like", metavar="BOARD", shell_complete=complete_board, help="With --new: a board with the same chip.")
@click.option("--from-platformio", "platformio", metavar="ID", help="With --new: the board's id in PlatformIO.")
@json_option
def command(name: str | None, like: str | None, platformio: str | None, as_json: bool) -> None:
    """List the boards that tinyllm knows, and what is attached; or describe one of your own."""
    output = Output(as_json)
    if name is not None:
        _describe(output, name, like, platformio)
        return
    if like is not None or platformio is not None:
        raise UserError("--like and --from-platformio describe a new board; give its name with --new NAME.")
    known = load_boards()
    here = attached(known)
    own = {name: path for name, path in board_files().items() if path.parent.resolve() != FOLDER.resolve()}
    if as_json:
        facts = [_board_facts(board) | {"own": str(own[board.name]) if board.name in own else None} for board in known]
        ports = [asdict(port) | {"boards": [board.name for board in boards]} for port, boards in here]
        output.document({"boards": facts, "attached": ports})
        return
    output.table(["board", "flash", "PSRAM", "what it is"], list(_rows(known)), wraps=["what it is"])
    output.line("")
    sets = [name for name in KERNEL_SETS if name != GENERIC.name]
    output.line(f"Kernels of their own: {', '.join(sets)}. The other instruction sets run the portable C.")
    ours = board_names(FOLDER)
    for name, path in own.items():
        output.line(f"your own: {name}, {path}{', in place of ours' if name in ours else ''}")
    for port, boards in here:
        names = " or ".join(board.name for board in boards)
        output.line(f"attached: {port.device} {port.description}, may be {names}".replace(" , ", ", "))
    if not here:
        output.line("attached: none that is known by its USB numbers")


def _describe(output: Output, name: str, like: str | None, platformio: str | None) -> None:
    """Write a new board's description, then print its path and what to check."""
    if like is None:
        raise UserError(f"--new {name} needs --like BOARD, a board with the same chip; `tinyllm boards` lists them.")
    base = base_of(name, like)
    if platformio is not None and not PLATFORMIO_ID.fullmatch(platformio):
        raise UserError(f"--from-platformio {shown(platformio)}: no board id of PlatformIO, which are like esp32dev.")
    file = None if platformio is None else installed_board_file(platformio)
    new = (
        NewBoard(name, base, f"{name}, like {like}", platformio)
        if file is None
        else from_board_file(name, base, platformio or "", file)
    )
    path = write_board(new)
    notes = list(doubts(new, file))
    if output.as_json:
        output.document({"board": name, "path": str(path), "notes": notes})
        return
    output.line(f"{path}: written, like {like}. `tinyllm build --board {name}` builds for it.")
    for note in notes:
        output.note(note)


def _rows(known: Sequence[Board]) -> Iterator[list[str]]:
    """A row for each family with the facts of its chip, and below it a row for each of its boards."""
    for name, boards in families(known).items():
        yield [name, "", "", _chip(boards[0])]
        for board in boards:
            memory = board.memory
            sizes = ["", ""] if memory is None else [_size(memory.flash), _size(memory.psram)]
            yield [f"  {board.name}", *sizes, board.description]


def _chip(board: Board) -> str:
    """The facts that all boards of a family share, from its first board."""
    facts = [f"{board.cores} core{'s' if board.cores > 1 else ''}"]
    facts[0] += f", {board.clock_mhz} MHz" if board.clock_mhz else ""
    facts += [f"{_size(board.memory.sram)} SRAM"] if board.memory else []
    facts += [f"kernels {board.instruction_set}", *(["--virtual"] if board.virtual else [])]
    return "; ".join(facts)


def _size(size: int) -> str:
    if not size:
        return "-"
    return f"{size // 2**20} MB" if size % 2**20 == 0 else f"{size // 1024:,} KB"


def _board_facts(board: Board) -> dict[str, object]:
    facts = {field: getattr(board, field) for field in ("name", "description", "chip", "instruction_set", "cores")}
    return facts | {
        "family": NAMES.get(board.chip, board.chip),
        "clock_mhz": board.clock_mhz,
        "memory": asdict(board.memory) if board.memory else None,
        "usb": [asdict(usb) for usb in board.usb],
        "bandwidth": asdict(board.bandwidth) if board.bandwidth else None,
        "cycles": asdict(board.cycles) if board.cycles else None,
        "power": asdict(board.power) if board.power else None,
        "reserve": asdict(board.reserve) if board.reserve else None,
        "virtual": board.virtual is not None,
        "platformio": dict(board.platformio),
    }
