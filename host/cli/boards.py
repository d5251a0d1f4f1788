"""The verb boards: the boards that tinyllm knows, and what is attached."""

from __future__ import annotations

from dataclasses import asdict

import click

from tinyllm.boards.description import FOLDER, Board, board_files, board_names, load_boards
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
    rows = [
        [
            board.name,
            board.chip,
            board.instruction_set,
            str(board.cores),
            _memory(board),
            "yes" if board.virtual else "-",
            board.description,
        ]
        for board in known
    ]
    output.table(
        ["board", "chip", "instruction set", "cores", "memory", "virtual", "what it is"],
        rows,
        wraps=["memory", "what it is"],
    )
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


def _board_facts(board: Board) -> dict[str, object]:
    facts = {field: getattr(board, field) for field in ("name", "description", "chip", "instruction_set", "cores")}
    return facts | {
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


def _memory(board: Board) -> str:
    if board.memory is None:
        return "this computer's"
    parts = {"flash": board.memory.flash, "SRAM": board.memory.sram, "PSRAM": board.memory.psram}
    return ", ".join(f"{size // 1024:,} KB {name}" for name, size in parts.items() if size)
