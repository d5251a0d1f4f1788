"""run and chat on a real terminal: Ctrl-C, keys typed during an answer, word wrap, and its settings afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
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
from tests.unit.test_word_wrap import screen
from tinyllm.boards.description import load_board
from tinyllm.host.model.load import load_model

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals of this kind")

CONTEXT = 64
READY = r"· context \d+/64[^\n]*"
"""The status line below the prompt."""
HELD, MORE = r"\n>[\s\b]*QQ", r"\n\.[\s\b]"
"""A prompt that holds the keys QQ already, and the prompt of a text's next line."""


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
        chat.wait_for(f"lists the commands.*{READY}")
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
        run.wait_for("upon a time")
        run.type("\x03")
        assert run.ended() == 0
    assert "ended: cancelled" in " ".join(run.everything.split())
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
        terminal.wait_for(f"lists the commands.*{READY}")
        started = descendants(terminal.process.pid)
        assert len(started) == (2 if board == "esp32" else 1)
        terminal.process.send_signal(end)
        terminal.ended()
        for _ in range(100):
            if not any(Path(f"/proc/{process}").exists() for process in started):
                return
            time.sleep(0.05)
    pytest.fail(f"still running: {started}")


# --- Keys, words and the terminal's settings --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def slow(endless: Path) -> list[str | Path]:
    """A chat whose answers take their time: a virtual board's."""
    return [*TINYLLM, "chat", endless, *on("pico2")]


def test_keys_typed_during_an_answer_are_not_in_it_and_wait_in_the_next_prompt(slow: list[str | Path]) -> None:
    with Terminal(slow) as chat:
        chat.wait_for(f"lists the commands.*{READY}")
        enter(chat, "/temp 0", "temperature 0")
        enter(chat, "/max 30", "max_tokens 30")
        chat.type("Once upon a time\r")
        chat.wait_for("there was")
        assert not chat.echoes
        chat.type("QQ")
        answer = chat.wait_for(HELD)
        assert "QQ" not in answer
        chat.type("\x7f\x7f/stats\r")
        chat.wait_for("last answer: 30 tokens")
        chat.wait_for(READY)
        # Two lines typed ahead are two prompts.
        chat.type("The dog\r")
        chat.wait_for("[a-z]{2,} [a-z]")
        chat.type("/max 2\r/seed 7\r")
        chat.wait_for(f"max_tokens 2\n.*seed 7\n.*{READY}")
        chat.type("\x04")
        assert chat.ended() == 0


def test_what_was_typed_ahead_of_a_ctrl_c_is_kept_too(slow: list[str | Path]) -> None:
    with Terminal(slow) as chat:
        chat.wait_for(f"lists the commands.*{READY}")
        enter(chat, "/max 0", "max_tokens 0")
        chat.type("Once\r")
        chat.wait_for("[a-z]{2,} [a-z]")
        chat.type("QQ\x03")
        chat.wait_for(rf"\(stopped\).*{HELD}")


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, None])
@pytest.mark.parametrize("verb", ["run", "chat"])
def test_the_terminal_has_its_settings_back_however_the_verb_ends(
    endless: Path, verb: str, end: signal.Signals | None
) -> None:
    prompt = ["-p", "Once", "-n", "0"] if verb == "run" else []
    with Terminal([*TINYLLM, verb, endless, *on("host"), *prompt]) as terminal:
        if verb == "chat":
            terminal.wait_for(f"lists the commands.*{READY}")
            enter(terminal, "/max 0", "max_tokens 0")
            terminal.type("Once\r")
        terminal.wait_for("[a-z]{2,} [a-z]+ [a-z]+ [a-z]+ [a-z]+ ")
        assert not terminal.echoes
        if end is not None and not (verb == "chat" and end == signal.SIGINT):
            terminal.process.send_signal(end)
        else:
            terminal.type("\x03" if verb == "run" else "\x03\x04")
        terminal.ended()
        assert terminal.settings() == terminal.settings_before
    assert "Traceback" not in terminal.everything


@pytest.mark.parametrize("columns", [30, 80])
def test_words_are_whole_on_a_terminal(endless: Path, columns: int) -> None:
    command = [*TINYLLM, "run", endless, "-p", "Once upon a time", "-n", "120", "--temperature", "0", *on("host")]
    piped = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    with Terminal(command, columns) as run:
        assert run.ended(120) == 0
    shown = screen(run.everything[run.everything.index(", there was") :])
    answer = shown[: next(number for number, line in enumerate(shown) if line.startswith("endless@host"))]
    assert " ".join(answer).split() == piped.stdout.split()
    assert max(map(len, answer)) < columns
    assert max(map(len, piped.stdout.splitlines())) > 80


@pytest.mark.parametrize("columns", [40, 100])
def test_a_spinner_leaves_no_trace_and_erases_no_result(columns: int) -> None:
    arguments = ["verify", "--board", "host", "--context", "16", "--positions", "4", "--temperature", "0"]
    with Terminal([*TINYLLM, *arguments], columns) as verify:
        assert verify.ended(120) == 0
    assert "verifying tinystories-260k on host" in verify.everything
    shown = re.sub("digest [0-9a-f]{8}", "digest", " ".join(" ".join(verify.screen()).split()))
    result = "bit-exact: 4/4 tokens, digest (host, temperature 0) bit-exact: 3/3 positions (host, logits)"
    assert shown[shown.index("bit-exact") :] == result
    assert "verifying" not in shown


def test_a_run_in_the_background_does_not_stop_for_the_terminal(endless: Path) -> None:
    command = " ".join(map(str, [*TINYLLM, "run", endless, "-p", "Once", "-n", "5", *on("host")]))
    with Terminal(["bash", "--norc", "-i"]) as shell:
        shell.wait_for("[#$] ")
        shell.type(f"{command} & wait $!; echo code-$?\r")
        shell.wait_for("ended: length.*code-0\n")


def test_a_suspended_chat_goes_on_without_echo(slow: list[str | Path]) -> None:
    command = " ".join(map(str, slow))
    with Terminal(["bash", "--norc", "-i"]) as shell:
        shell.wait_for("[#$] ")
        shell.type(f"{command}\r")
        shell.wait_for(f"lists the commands.*{READY}")
        enter(shell, "/max 0", "max_tokens 0")
        shell.type("Once\r")
        shell.wait_for("[a-z]{2,} [a-z]+ ")
        shell.type("\x1a")
        shell.wait_for("Stopped")
        shell.type("echo back-in-the-$((40 + 2))\r")
        shell.wait_for("back-in-the-42")
        shell.type("fg\r")
        # The answer's words tell that the chat has the terminal: a Ctrl-C before that would be the shell's.
        shell.wait_for("fg.*chat[^\\n]*\\n.*[a-z]{2,} [a-z]+ ")
        shell.type("\x03")
        shell.wait_for(READY)
        assert not shell.echoes


def test_a_text_of_several_lines_is_one_prompt(endless: Path, tmp_path: Path) -> None:
    saved = tmp_path / "talk.json"
    with Terminal([*TINYLLM, "chat", endless, *on("host")]) as chat:
        chat.wait_for(f"lists the commands.*{READY}")
        enter(chat, "/max 3", "max_tokens 3")
        chat.type('"""The dog\r')
        chat.wait_for(f"{MORE}.*{READY}")
        chat.type("/quit\r")
        chat.wait_for(f"{MORE}.*{READY}")
        chat.type('and the cat"""\r')
        chat.wait_for(READY)
        enter(chat, f"/save {saved}", "Saved to")
    assert [turn["prompt"] for turn in json.loads(saved.read_text())["turns"]] == ["The dog\n/quit\nand the cat"]


def test_an_answer_that_is_neither_yes_nor_no_is_asked_again_and_kept(endless: Path) -> None:
    with Terminal([*TINYLLM, "chat", endless, *on("host")]) as chat:
        chat.wait_for(f"lists the commands.*{READY}")
        enter(chat, "/max 3", "max_tokens 3")
        chat.type("Once\r")
        chat.wait_for(READY)
        (board,) = descendants(chat.process.pid)
        os.kill(board, signal.SIGKILL)
        chat.type("The dog\r")
        chat.wait_for(r"Replay it \(2 turns\)\? \[Y/n\]")
        chat.type("And then\r")
        chat.wait_for(r"Answer y or n first.*Replay it \(2 turns\)\? \[Y/n\]")
        chat.type("y\r")
        chat.wait_for(r"Replayed: .*\n>[\s\b]*And then")
