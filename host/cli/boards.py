"""Verbs that only look: boards, ports, doctor."""

from __future__ import annotations

from dataclasses import asdict

import typer

from tinyllm.boards.description import FOLDER, Board, board_files, board_names, load_boards
from tinyllm.host.cli.options import JsonOption
from tinyllm.host.doctor import check_machine
from tinyllm.host.link.serial_port import list_serial_ports
from tinyllm.host.link.usb import attached, boards_on
from tinyllm.host.output import Output


def boards(as_json: JsonOption = False) -> None:
    """The boards that tinyllm knows, and what is attached now."""
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
    output.table(["board", "chip", "kernels", "cores", "memory", "virtual", "what it is"], rows)
    output.line("")
    ours = board_names(FOLDER)
    for name, path in own.items():
        output.line(f"your own: {name}, {path}{', in place of ours' if name in ours else ''}")
    for port, boards in here:
        names = " or ".join(board.name for board in boards)
        output.line(f"attached: {port.device} {port.description}, may be {names}".replace(" , ", ", "))
    if not here:
        output.line("attached: none that is known by its USB numbers")


def ports(as_json: JsonOption = False) -> None:
    """The serial ports of this computer, and the boards that may be on them."""
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


def doctor(as_json: JsonOption = False) -> None:
    """Look whether this machine has what a build and a board need."""
    output = Output(as_json)
    checks = []
    for check in check_machine():
        checks.append(check)
        if not as_json:
            mark, style = ("ok", "green") if check.ok else ("missing", "red") if check.needed else ("note", "yellow")
            output.line(f"{mark:8} {check.name:20} {check.found}", style="" if check.ok else style)
            if not check.ok and check.advice:
                output.line(f"{'':29} {check.advice}")
    healthy = all(check.ok for check in checks if check.needed)
    if as_json:
        output.document({"healthy": healthy, "checks": [asdict(check) for check in checks]})
    if not healthy:
        raise typer.Exit(1)


def _board_facts(board: Board) -> dict[str, object]:
    facts = {field: getattr(board, field) for field in ("name", "description", "chip", "instruction_set", "cores")}
    return facts | {
        "clock_mhz": board.clock_mhz,
        "memory": asdict(board.memory) if board.memory else None,
        "usb": [asdict(usb) for usb in board.usb],
        "bandwidth": asdict(board.bandwidth) if board.bandwidth else None,
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
