"""A board whose kernels failed their check computes with portable C: whoever talks to it is told in one line."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tinyllm
from tests.pipeline.disagreeing_board import disagreeing_program
from tinyllm.boards.description import load_board
from tinyllm.host.cli import app as cli
from tinyllm.host.connect.board_process import BoardProcess
from tinyllm.host.prove import records
from tinyllm.host.prove.plots import label_of

WARNING = (
    "warning: the host kernels failed their check on this host, so portable C does their work. Its tokens are right, "
    "but slower. Try another board, and tell us of the chip that fails.\n"
)
Tinyllm = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a board of this computer says so."""
    program = disagreeing_program(load_board("host"), tmp_path_factory.mktemp("build") / "project", context=64)
    with BoardProcess([program]) as process:
        yield process.url


@pytest.fixture
def tinyllm_says(port: str, capsys: pytest.CaptureFixture[str]) -> Tinyllm:
    def command(*arguments: str) -> tuple[int, str, str]:
        code = cli.run([*arguments, "--port", port])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return command


@pytest.mark.parametrize(
    "verb",
    [("run", "-p", "Once", "-n", "2"), ("verify", "--positions", "2"), ("bench", "-n", "2")],
    ids=lambda verb: verb[0],
)
def test_a_verb_warns_once_and_goes_on(tinyllm_says: Tinyllm, verb: tuple[str, ...]) -> None:
    for form in ((), ("--json",)):
        code, out, err = tinyllm_says(*verb, *form)
        assert code == 0
        assert err.count(WARNING) == err.count("warning:") == 1
        assert "warning" not in out


def test_chat_warns_and_its_stats_say_it_again(port: str) -> None:
    command = [sys.executable, "-m", "tinyllm", "chat", "--port", port]
    done = subprocess.run(command, input="/stats\n", capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.count(WARNING) == 2
    assert done.stderr.startswith(WARNING)


def test_a_saved_benchmark_keeps_it_apart_from_those_of_sound_boards(tinyllm_says: Tinyllm, tmp_path: Path) -> None:
    file = tmp_path / "host.toml"
    code, out, _ = tinyllm_says("bench", "-n", "2", "--save", str(file))
    assert code == 0
    assert "context 64, portable C instead of host\n" in out
    (record,) = records.read(file)
    assert (record["kernels"], record["kernels_agree"]) == ("host", False)
    assert label_of(record) == "host, kernels failed"
    assert label_of(record | {"kernels_agree": True}) == label_of({"board": "host"}) == "host"


def test_the_plugin_says_it_below_the_table_of_boards(port: str, tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text("def test_it(board):\n    assert board.ask('Once', 2).read().tokens\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--tinyllm-port", port]
    command += ["--basetemp", str(tmp_path / "temp")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count(WARNING) == 1
    assert done.stdout.index("1 passed ") < done.stdout.index(WARNING)


def test_a_program_finds_it_in_the_board_and_in_the_log(port: str, caplog: pytest.LogCaptureFixture) -> None:
    with tinyllm.Board.open(port) as board:
        assert board.warning == WARNING.strip().removeprefix("warning: ")
        board.reconnect()
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == [WARNING.strip().removeprefix("warning: ")]


def test_a_person_at_a_serial_monitor_is_told_by_the_greeting_and_by_stats(port: str) -> None:
    with tinyllm.Board.open(port) as board, board.typing() as terminal:
        for command in ("/text", "/stats"):
            assert "The kernels host failed their check on this chip: the portable ones are" in terminal.enter(command)


def test_a_sound_board_has_no_warning() -> None:
    with tinyllm.Board.host(context=64) as board:
        assert board.warning is None
        assert (board.hello.kernels, board.hello.kernels_agree) == ("host", 1)
