"""Commands work in a folder that holds files named like modules of Python and of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.boards.conftest import missing
from tests.conftest import skip_unless_ci
from tests.unit.chat_templates import messages_of
from tinyllm.boards.description import load_board
from tinyllm.codegen.chat.render import render
from tinyllm.host.cli import app as cli


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout of ours holds a tinyllm/ too, of which the installed package is more."""
    (tmp_path / "tinyllm").mkdir()
    (tmp_path / "tinyllm/__init__.py").touch()
    (tmp_path / "json.py").write_text("raise SystemExit('this is another json')\n")
    monkeypatch.chdir(tmp_path)


def test_a_virtual_board_runs_there() -> None:
    if lacking := missing(load_board("pico2"), True, None, None):
        skip_unless_ci(lacking)
    assert cli.run(["run", "--board", "pico2", "--virtual", "--context", "64", "-p", "Once", "-n", "3"]) == 0


def test_the_sanitizers_run_there() -> None:
    assert cli.run(["verify", "--build", "asan", "--positions", "4"]) == 0


def test_a_chat_template_is_rendered_there() -> None:
    said = render("{{ messages[0].content }}!", messages_of(("Hello",)), None, None)
    assert said == "Hello!"
