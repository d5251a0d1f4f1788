"""The verb boards: the boards that tinyllm knows, and what is attached."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

import click

from tinyllm.boards.description import FOLDER, Board, board_files, board_names, load_boards
from tinyllm.boards.families import NAMES, families
from tinyllm.codegen.kernels.choose import KERNEL_SETS
from tinyllm.codegen.kernels.generic import GENERIC
from tinyllm.host.cli.options import json_option
from tinyllm.host.link.usb import attached
from tinyllm.host.output import Output


@click.command()
@json_option
def command(as_json: bool) -> None:
    """List the boards that tinyllm knows, and what is attached."""
    output = Output(as_json)
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


def _rows(known: Sequence[Board]) -> Iterator[list[str]]:
    """A row for each family with what its chip is, and below it one for each board of it."""
    for name, boards in families(known).items():
        yield [name, "", "", _chip(boards[0])]
        for board in boards:
            memory = board.memory
            sizes = ["", ""] if memory is None else [_size(memory.flash), _size(memory.psram)]
            yield [f"  {board.name}", *sizes, board.description]


def _chip(board: Board) -> str:
    """Of the first board of a family: what the others have too."""
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
