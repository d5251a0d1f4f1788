"""The boards that the suite runs on: the one that the options name, else the host board and every virtual board."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import SHARED_DATA, TESTS
from tinyllm.boards.description import FIRMWARE, Board, load_board, load_boards
from tinyllm.codegen.memory.plan import PARTITION, PROGRAM
from tinyllm.files import write_file
from tinyllm.host.connect.attach import BoardRequest
from tinyllm.host.model.load import LoadOptions
from tinyllm.host.pytest_plugin import plugin

CONTEXT = 64
"""Small, so that a conversation soon outgrows it."""

EMULATORS = {"lx106": "qemu-system-xtensa"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """The plugin's options, without its prefix."""
    group = parser.getgroup("tinyllm")
    group.addoption("--board", dest="tinyllm_board", metavar="NAME", help="as --tinyllm-board")
    group.addoption("--virtual", dest="tinyllm_virtual", action="store_true", help="as --tinyllm-virtual")
    group.addoption("--port", dest="tinyllm_port", metavar="PORT", help="as --tinyllm-port")
    group.addoption("--emulator", dest="tinyllm_emulator", metavar="NAME", help="another emulator: rp2040js")
    group.addoption("--model", dest="tinyllm_model", metavar="MODEL", help="as --tinyllm-model")
    group.addoption("--weights", dest="tinyllm_weights", metavar="FORMAT", help="as --tinyllm-weights")
    group.addoption("--calibrate", dest="tinyllm_calibrate", metavar="FILE", help="as --tinyllm-calibrate")
    group.addoption("--weights-in", choices=[PROGRAM, PARTITION], help="where the boards keep the weights")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A module's MODELS with its CONTEXT on the board that was named, or on the host board and every virtual one.

    All but the first model are a sweep on all boards but the Pico 2, and with DAILY all boards that it does not name. A
    module with SECOND_OPINION has the Pico once more, in rp2040js; one with NARROW those virtual boards with weights of
    such formats.
    """
    option = metafunc.config.getoption
    if plugin.REQUEST not in metafunc.fixturenames or option("tinyllm_port") or plugin.has_lab(metafunc.config):
        return
    models = [option("tinyllm_model")] if option("tinyllm_model") else getattr(metafunc.module, "MODELS", [None])
    options = plugin.boards(metafunc.config).load_options(metafunc.config, getattr(metafunc.module, "CONTEXT", CONTEXT))
    options = replace(options, weights_in=option("--weights-in"))
    if option("tinyllm_board"):
        boards = [(load_board(option("tinyllm_board")), option("tinyllm_virtual"), option("tinyllm_emulator"))]
    else:
        boards = [(board, board.name != "host", None) for board in distinct_boards()]
        if hasattr(metafunc.module, "SECOND_OPINION"):
            boards.append((load_board("pico"), True, "rp2040js"))
    named = option("tinyllm_board") is not None
    daily = getattr(metafunc.module, "DAILY", None)

    def is_sweep(board: Board, model: str | None) -> bool:
        other_model = model != models[0] and board.name != "pico2"
        return not named and (other_model or (daily is not None and board.name not in daily))

    targets = [target(*board, model, options, sweep=is_sweep(board[0], model)) for model in models for board in boards]
    if not option("tinyllm_board") and not option("tinyllm_weights"):
        for name, weights in getattr(metafunc.module, "NARROW", {}).items():
            narrow = replace(options, weights=weights, calibrate=few_stories())
            targets.append(target(load_board(name), True, None, None, narrow, sweep=name != "pico2"))
    metafunc.parametrize("tinyllm_board_request", targets, indirect=True, scope="session")


def few_stories() -> Path:
    """A text that calibrates in seconds; what it costs in quality is no matter here."""
    path = Path(os.environ["TINYLLM_HOME"]) / "few-stories.txt"
    if not path.exists():
        text = (TESTS / "data/stories.txt").read_text("utf-8")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, "<|endoftext|>".join(text.split("<|endoftext|>")[:8]))
    return path


@cache
def distinct_boards() -> list[Board]:
    """The host board, and of the boards that have the same virtual chip the first: the images differ in a name."""
    chips = {("host",): load_board("host")}
    for board in load_boards():
        if board.virtual:
            chips.setdefault((board.virtual.platformio["board"], *board.virtual.ports), board)
    return list(chips.values())


def target(
    board: Board, virtual: bool, emulator: str | None, model: str | None, options: LoadOptions, *, sweep: bool = False
) -> object:
    """One board with one model, with a readable name. If this computer lacks a tool it is skipped, but not in CI."""
    board_request = BoardRequest(model, options, board.name, None, virtual, virtual, emulator)
    name = f"{board.name}-{emulator or 'virtual'}" if virtual else board.name
    name += f"-{options.weights}" if options.weights else ""
    lacking = missing(board, virtual, emulator, model)
    marks = [pytest.mark.skip(reason=lacking)] if lacking and not os.environ.get("CI") else []
    marks += [pytest.mark.sweep] if sweep else []
    return pytest.param(board_request, id=f"{name}-{model.rsplit('/', 1)[-1]}" if model else name, marks=marks)


def missing(board: Board, virtual: bool, emulator: str | None, model: str | None) -> str | None:
    """What this computer lacks to run a board or a model; None if nothing."""
    if model is not None and model.startswith(str(SHARED_DATA)) and not SHARED_DATA.is_dir():
        return f"no test data at {SHARED_DATA}"
    if not virtual or board.virtual is None:
        return None
    chip = board.virtual.platformio["board"]
    compilers = json.loads((FIRMWARE / f"platform/boards/{chip}.json").read_text())["build"]["compilers"]
    if not any(map(shutil.which, compilers)):
        return f"no {' or '.join(compilers)}"
    if emulator == "rp2040js":
        return None if shutil.which("node") and shutil.which("npm") else "no Node.js with npm"
    if board.virtual.emulator == "unicorn":
        return None if importlib.util.find_spec("unicorn") else "no package unicorn"
    return None if shutil.which(EMULATORS[chip]) else f"no {EMULATORS[chip]}"
