"""run and chat on a real terminal: Ctrl-C, keys typed during an answer, word wrap, and its settings afterwards."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from tests.boards.conftest import missing
from tests.conftest import skip_unless_ci
from tests.pipeline.terminal import TINYLLM, Terminal
from tests.unit.checkpoint_files import write_huggingface
from tinyllm.boards.description import load_board
from tinyllm.host.model.load import load_model

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals of this kind")

CONTEXT = 64
READY = r"· context \d+/64[^\n]*"
"""The status line below the prompt."""


@pytest.fixture(scope="module", autouse=True)
def tool_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYLLM_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled model as a checkpoint whose answers never end: its head gives the stop tokens logit 0."""
    loaded = load_model(None)
    head = loaded.model.embedding.copy()
    head[list(loaded.tokenizer.stop_ids)] = 0
    config = replace(loaded.model.config, tied_head=False)
    folder = write_huggingface(
        tmp_path_factory.mktemp("endless") / "endless", replace(loaded.model, head=head, config=config)
    )
    shutil.copy(loaded.path / "tokenizer.model", folder)
    return folder


def on(board: str) -> list[str]:
    """The options that start a board on this computer; skips the test if its emulator is missing."""
    if lacking := missing(load_board(board), board != "host", None, None):
        skip_unless_ci(lacking)
    return ["--board", board, "--context", str(CONTEXT), *(["--virtual"] if board != "host" else [])]


def enter(terminal: Terminal, line: str, shown: str) -> str:
    """Type a line and wait until `shown` and a new prompt appear; what came before `shown`."""
    terminal.type(f"{line}\r")
    before = terminal.wait_for(shown)
    terminal.wait_for(READY)
    return before


BOARDS = pytest.mark.parametrize("board", ["host", "pico2", "esp32"])
"""A program, Unicorn, and QEMU."""


@BOARDS
def test_ctrl_c_stops_the_answer_and_the_conversation_goes_on(endless: Path, board: str) -> None:
    with Terminal([*TINYLLM, "chat", endless, *on(board)]) as chat:
        chat.wait_for(f"lists the commands.*{READY}", 120)
        enter(chat, "/max 0", "max_tokens 0")
        chat.type("Once upon a time\r")
        chat.wait_for("[a-z]{2,}[^\\n]{40}")
        chat.type("\x03")
        chat.wait_for(rf"\(stopped\).*{READY}")
        enter(chat, "/max 4", "max_tokens 4")
        chat.type("Then\r")
        chat.wait_for(READY)
        enter(chat, "/stats", r"context \d+/64 tokens, 2 turns\nlast answer: 4 tokens")
        assert "Waiting for it to come back" not in chat.everything
        chat.type("\x04")
        assert chat.ended() == 0


@BOARDS
def test_ctrl_c_ends_the_answer_of_run_and_keeps_what_came(endless: Path, board: str) -> None:
    with Terminal([*TINYLLM, "run", endless, "-p", "Once", "-n", "0", "--temperature", "0", *on(board)]) as run:
        run.wait_for("upon a time", 120)
        run.type("\x03")
        assert run.ended() == 0
    assert "ended: cancelled" in run.everything
    assert "Traceback" not in run.everything


def test_a_second_ctrl_c_soon_after_the_first_does_not_end_the_chat(endless: Path) -> None:
    with Terminal([*TINYLLM, "chat", endless, *on("host")]) as chat:
        chat.wait_for(f"lists the commands.*{READY}")
        enter(chat, "/max 0", "max_tokens 0")
        chat.type("Once\r")
        chat.wait_for("[a-z]{2,}.{20}")
        chat.type("\x03\x03")
        chat.wait_for(rf"\(stopped\).*{READY}")
        chat.type("\x04")
        assert chat.ended() == 0


def descendants(process: int) -> set[int]:
    """The processes that a process started, and those that these started."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
    found = {process}
    while grown := {child for child, parent in parents.items() if parent in found} - found:
        found |= grown
    return found - {process}


@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
@pytest.mark.parametrize(
    ("board", "end"),
    [*product(("host", "pico2", "esp32"), (signal.SIGKILL,)), *product(("host",), (signal.SIGTERM, signal.SIGHUP))],
)
def test_a_board_and_its_emulator_end_with_the_chat_however_it_ends(board: str, end: signal.Signals) -> None:
    with Terminal([*TINYLLM, "chat", *on(board)]) as terminal:
        terminal.wait_for(f"lists the commands.*{READY}", 120)
        started = descendants(terminal.process.pid)
        assert len(started) == (2 if board == "esp32" else 1)
        terminal.process.send_signal(end)
        terminal.ended()
        for _ in range(100):
            if not any(Path(f"/proc/{process}").exists() for process in started):
                return
            time.sleep(0.05)
    pytest.fail(f"still running: {started}")
