"""The bundled chat model does what it is told, in the C of a board."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tinyllm
from tests.boards.conftest import missing
from tests.conftest import skip_unless_ci
from tests.pipeline.emulated_boards import need
from tinyllm.boards.description import load_board
from tinyllm.host.cli import app as cli
from tinyllm.host.grade import Answerer
from tinyllm.host.model.load import DEFAULT_MODEL
from tinyllm.models.pairs.questions import calls_of

ROOT = Path(__file__).resolve().parents[2]
TOLD = "Turn on the light in the kitchen, please."
CALL = 'light.set(room="kitchen", on=true)'


def test_make_demo_chats_and_shows_the_light_that_it_switches() -> None:
    environment = {name: value for name, value in os.environ.items() if name != DEFAULT_MODEL}
    command = [sys.executable, ROOT / "docs/examples/demo.py"]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=True).stdout
    assert f"> {TOLD}\n  [{CALL}: ok] The kitchen light is on.\n" in shown
    assert '[light.set(room="kitchen", on=false): ok]' in shown, "it is the last-named light"
    assert "docs/examples/demo.py" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_a_virtual_board_answers_a_command_with_the_tokens_of_this_computer() -> None:
    if lacking := missing(load_board("pico2"), True, None, None):
        skip_unless_ci(lacking)
    with tinyllm.Board.host("chat") as host, tinyllm.Board.virtual("pico2", "chat") as pico2:
        answers = [board.chat().ask(TOLD, temperature=0).read() for board in (host, pico2)]
    assert [answer.calls for answer in answers] == [((CALL, "ok"),)] * 2
    assert answers[0].digest == answers[1].digest
    assert answers[0].tokens == answers[1].tokens


def test_a_grade_is_of_the_answers_that_a_board_gives_over_several_turns(tmp_path: Path) -> None:
    need("gcc")
    said = ["My name is Ada", TOLD, "Now turn it off", "What is my name?"]
    model = tinyllm.load("chat")
    answers = Answerer(model, model.emit(), tmp_path).answers(said)
    with tinyllm.Board.host("chat") as board:
        chat = board.chat()
        of_board = [chat.ask(text, temperature=0).read() for text in said]
    assert [calls_of(answer) for answer in answers] == [tuple(call for call, _ in one.calls) for one in of_board]
    assert [answers[0], answers[3]] == [of_board[0].text.strip(), of_board[3].text.strip()]


def test_strangers_commands_are_carried_out_and_their_remarks_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    need("gcc")
    assert cli.run(["grade", "chat", "--json"]) == 0
    command, aside = json.loads(capsys.readouterr().out)["grades"]
    assert (command["kind"], aside["kind"]) == ("command", "aside")
    assert command["right"] >= 0.8 * command["questions"]
    assert aside["calls"] <= 0.08 * aside["questions"]
