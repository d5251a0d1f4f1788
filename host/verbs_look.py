"""Verbs that only look: boards, ports, models, doctor, inspect."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import typer

from tinyllm.boards.loader import Board, load_boards
from tinyllm.codegen.model import Model, ModelConfig
from tinyllm.host.choosing import choose
from tinyllm.host.doctor import check_machine
from tinyllm.host.finding import attached, boards_on
from tinyllm.host.options import JsonOption, ModelArgument, TokenizerOption
from tinyllm.host.output import Output
from tinyllm.host.serial_port import list_serial_ports
from tinyllm.models import bundled


def boards(as_json: JsonOption = False) -> None:
    """The boards that tinyllm knows, and what is attached now."""
    output = Output(as_json)
    known = load_boards()
    here = attached(known)
    if as_json:
        facts = [_board_facts(board) for board in known]
        ports = [asdict(port) | {"boards": [board.name for board in boards]} for port, boards in here]
        output.document({"boards": facts, "attached": ports})
        return
    rows = [
        [board.name, board.chip, board.instruction_set, str(board.cores), _memory(board), board.description]
        for board in known
    ]
    output.table(["board", "chip", "kernels", "cores", "memory", "what it is"], rows)
    output.line("")
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


def models(as_json: JsonOption = False) -> None:
    """The models that come with tinyllm."""
    output = Output(as_json)
    choices = [choose(name) for name in bundled()]
    facts: list[dict[str, Any]] = [
        {
            "name": choice.path.name,
            "parameters": choice.model.n_parameters(),
            "context": choice.model.config.context,
            "vocab_size": choice.model.config.vocab_size,
            "path": str(choice.path),
        }
        for choice in choices
    ]
    if as_json:
        output.document({"models": facts})
        return
    rows = [[f["name"], f"{f['parameters']:,}", str(f["context"]), str(f["vocab_size"]), f["path"]] for f in facts]
    output.table(["model", "parameters", "context", "vocabulary", "folder"], rows)


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


def inspect(model: ModelArgument = None, tokenizer: TokenizerOption = None, as_json: JsonOption = False) -> None:
    """What a model is: dimensions, parameters by part, sizes, tokenizer."""
    output = Output(as_json)
    choice = choose(model, tokenizer)
    read = choice.tokenizer
    config = choice.model.config
    parts = parameters_by_part(choice.model)
    total = choice.model.n_parameters()
    kinds = {kind.name.lower(): read.kinds.count(kind) for kind in sorted(set(read.kinds))}
    vocabulary = {
        "path": str(choice.tokenizer_path),
        "source": read.source,
        "vocab_size": read.vocab_size,
        "bos": read.bos,
        "eos": read.eos,
        "stop_ids": list(read.stop_ids),
        "kinds": kinds,
    }
    if as_json:
        output.document(
            {
                "path": str(choice.path),
                "config": asdict(config) | {"n_layers": config.n_layers},
                "parameters": total,
                "parts": parts,
                "float32_bytes": 4 * total,
                "int8_bytes": total,
                "tokenizer": vocabulary,
            }
        )
        return
    output.line(f"{config.name}  ({choice.path.as_posix()})", style="bold")
    output.table(["", ""], [[name, value] for name, value in _dimensions(config)])
    output.line("")
    rows = [[part, f"{count:,}", f"{count / total:.1%}"] for part, count in parts.items()]
    output.table(["part", "parameters", "share"], [*rows, ["all", f"{total:,}", ""]])
    output.line("")
    output.line(f"weights: {4 * total:,} bytes as float32, {total:,} as int8 (without scales)")
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    output.line(f"tokenizer: {read.source}, {read.vocab_size} pieces ({counts}), {choice.tokenizer_path.as_posix()}")


def parameters_by_part(model: Model) -> dict[str, int]:
    """Stored numbers of each part, in the order of the data; a tied head has none of its own."""
    blocks = [vars(block) for block in model.blocks]

    def count(*names: str) -> int:
        return sum(int(block[name].size) for block in blocks for name in names if block[name] is not None)

    return {
        "embedding": int(model.embedding.size),
        "attention": count("wq", "wk", "wv", "wo", "bq", "bk", "bv"),
        "feed-forward": count("w_gate", "w_up", "w_down"),
        "norms": count("attn_norm", "ffn_norm") + int(model.final_norm.size),
        "head": 0 if model.head is None else int(model.head.size),
    }


def _dimensions(config: ModelConfig) -> list[tuple[str, str]]:
    stored = len(set(config.schedule))
    layers = str(config.n_layers) if stored == config.n_layers else f"{config.n_layers} from {stored} stored blocks"
    heads = f"{config.n_heads} of {config.head_dim}, {config.n_kv_heads} for keys and values"
    return [
        ("family", config.family),
        ("dim", str(config.dim)),
        ("hidden_dim", str(config.hidden_dim)),
        ("layers", layers),
        ("heads", heads),
        ("context", str(config.context)),
        ("vocabulary", f"{config.vocab_size}, head {'tied to the embedding' if config.tied_head else 'of its own'}"),
        ("rope", f"base {config.rope.base:g}, {config.rope.pairing} pairing, {config.rope.rotary_dim} of each head"),
        ("norm_epsilon", f"{config.norm_epsilon:g}"),
    ]


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
