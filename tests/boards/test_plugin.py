"""The pytest plugin in projects of other people: the documented example, failures, and keeping out of the way."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[2] / "docs/testing-boards.md"


def run_pytest(folder: Path, code: str, *options: str) -> subprocess.CompletedProcess[str]:
    """What pytest says to a project with this one test file."""
    (folder / "test_mine.py").write_text(code, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n")
    # Its own folder: beside that of this run it would delete those of earlier runs, a gigabyte each.
    own = ["-p", "no:cacheprovider", "-p", "no:labgrid", "--basetemp", str(folder / "temp")]
    command = [sys.executable, "-m", "pytest", *own, *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def test_the_example_of_the_guide_runs_as_it_stands(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    done = run_pytest(tmp_path, example, "--tinyllm-context", "64")
    assert done.returncode == 0, done.stdout
    tests = example.count("def test_")
    assert re.search(rf"^host +tinystories-260k +64 +[0-9a-f]{{16}} +{tests} passed", done.stdout, re.MULTILINE)


FAILING = """
import pytest

def test_that_fails(board):
    board.ask("Once upon a time", 2).read()
    assert board.hello.board == "another"

def test_after_it(board):
    board.cut_power()

def test_that_finds_the_board_running_again(board):
    assert board.ask("Once", 3).read().tokens == board.expect("Once", max_tokens=3)[0]
"""


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_failure_shows_board_firmware_and_transcript_and_the_next_test_finds_the_board_well(
    tmp_path: Path, workers: str
) -> None:
    done = run_pytest(tmp_path, FAILING, "--tinyllm-context", "64", "-n", workers)
    assert done.returncode == 1
    assert re.search(r"^host on this computer, firmware \S+, build [0-9a-f]{16}$", done.stdout, re.MULTILINE)
    prompt = r"^ +\d+\.\d{3} > #\d+ Prompt max_tokens=2 content='Once upon a time' chat=False asks_first=False$"
    assert re.search(prompt, done.stdout, re.MULTILINE)
    assert re.search(r"^ +\d+\.\d{3} < #\d+ Token index=1 ", done.stdout, re.MULTILINE)
    assert re.search(r"^host .* 2 passed, 1 FAILED", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--tinyllm-board", "pic0"], "unknown board 'pic0'. Did you mean pico"),
        (["--tinyllm-virtual"], "board host has no virtual twin"),
        (["--tinyllm-port", "/dev/ttyNONE"], "/dev/ttyNONE: no such port"),
        (["--tinyllm-model", "nothing"], "nothing: neither a bundled model nor a file"),
    ],
)
def test_a_mistake_is_one_line_and_no_traceback(tmp_path: Path, options: list[str], complaint: str) -> None:
    done = run_pytest(tmp_path, "def test_it(board): pass", *options)
    assert done.returncode == 1
    assert complaint in done.stdout
    assert "During handling" not in done.stdout
    assert "Traceback" not in done.stdout
    assert "Error" not in done.stdout


def test_who_does_not_use_the_fixture_notices_nothing(tmp_path: Path) -> None:
    code = "import sys\n\ndef test_it():\n    assert not {'numpy', 'serial', 'tinyllm.boards'} & set(sys.modules)\n"
    done = run_pytest(tmp_path, code)
    assert done.returncode == 0, done.stdout
    assert "- boards -" not in done.stdout


@pytest.mark.parametrize("option", ["board", "virtual", "port", "model", "context"])
def test_an_option_without_its_prefix_is_told_by_the_name_it_has(tmp_path: Path, option: str) -> None:
    done = run_pytest(tmp_path, "def test_it(board): pass", f"--{option}=pico2")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"--{option}: tinyllm's options are called --tinyllm-{option}" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_option_of_the_project_may_have_the_short_name(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("def pytest_addoption(parser):\n    parser.addoption('--board')\n")
    code = "def test_it(request):\n    assert request.config.getoption('--board') == 'mine'\n"
    done = run_pytest(tmp_path, code, "--board", "mine")
    assert done.returncode == 0, done.stdout
