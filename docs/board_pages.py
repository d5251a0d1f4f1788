"""Pages of the site that no file of docs/ holds: one for each board, from `tinyllm fit`, and models/README.md.

mkdocs.yml names this file among its hooks.
"""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from tinyllm.boards.action_pins import ActionPins
from tinyllm.boards.board import Board
from tinyllm.boards.description import load_boards
from tinyllm.host.cli.app import run

SECTION = "Boards"
FOLDER = "board"
MODELS, MODELS_PAGE = "../models/README.md", "trained-models.md"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The pages stand behind the others of their section."""
    section = next(entry[SECTION] for entry in config.nav if SECTION in entry)
    section += [{board.name: f"{FOLDER}/{board.name}.md"} for board in _boards()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages."""
    text = (Path(config.docs_dir) / MODELS).read_text("utf-8").replace("](../docs/", "](")
    files.append(File.generated(config, MODELS_PAGE, content=text))
    for board in _boards():
        files.append(File.generated(config, f"{FOLDER}/{board.name}.md", content=page(board)))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Links to what lies elsewhere."""
    return markdown.replace(f"]({MODELS}", f"]({MODELS_PAGE}")


def page(board: Board) -> str:
    """Markdown of a board: what it is, how to talk to it, and what each bundled model does there."""
    assert board.memory is not None
    sizes = {"flash": board.memory.flash, "SRAM": board.memory.sram, "PSRAM": board.memory.psram}
    facts = {
        "chip": board.chip,
        "cores, clock": f"{board.cores}, {board.clock_mhz} MHz",
        **{name: f"{size // 1024:,} KB" for name, size in sizes.items() if size},
        "kernels": board.instruction_set,
        "PlatformIO's name": f"`{board.platformio.get('board', '')}`",
        "virtual board": "yes" if board.virtual else "no",
        "[calls](../actions.md#on-the-board) by itself": _calls(board.actions),
    }
    lines = [f"# {board.name}", "", board.description, "", "| what | value |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in facts.items()]
    lines += ["", f"    tinyllm flash --board {board.name}", "    tinyllm chat --port auto", ""]
    if board.virtual:
        lines += ["Without the board, the same program in an emulator:", ""]
        lines += [f"    tinyllm chat --board {board.name} --virtual", ""]
    for model in ("chat", "stories"):
        lines += [f"## {model}", "", *(f"    {line}".rstrip() for line in _fit(model, board.name)), ""]
    lines += ["[Flashing, memory and figures](../boards.md) · [what is proved](../evidence/boards.md)", ""]
    return "\n".join(lines)


def _calls(pins: ActionPins | None) -> str:
    """What the board does itself when a model makes a call."""
    if pins is None:
        return "none"
    led = pins.led_pin if pins.led_rgb_pin is None else pins.led_rgb_pin
    color = "" if pins.led_rgb_pin is None else " in colour"
    calls = {
        f"its LED (pin {led}){color}": led is not None,
        f"a servo on pin {pins.servo_pin}": pins.servo_pin is not None,
        f"pins {', '.join(map(str, pins.pins))}": bool(pins.pins),
        "the chip's temperature": pins.temperature,
    }
    return "; ".join(name for name, known in calls.items() if known) or "none"


def _boards() -> list[Board]:
    return [board for board in load_boards() if board.memory is not None]


def _fit(model: str, board: str) -> list[str]:
    """What `tinyllm fit` prints."""
    printed = io.StringIO()
    with redirect_stdout(printed), redirect_stderr(io.StringIO()):
        if code := run(["fit", model, "--board", board]):
            raise RuntimeError(f"tinyllm fit {model} --board {board} ended with {code}")
    return printed.getvalue().strip().splitlines()
