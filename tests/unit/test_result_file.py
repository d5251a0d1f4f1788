"""A file that a person names for a picture or a record: what cannot be written is told before the work, in a line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tinyllm.errors import UserError
from tinyllm.host.cli import app as cli
from tinyllm.host.cli.result_file import check_result_file

ROOT = Path(__file__).resolve().parents[2]
STORIES = ROOT / "tests/data/stories.txt"
NOWHERE = "/proc/tinyllm"
"""A folder that nobody can make."""

COMMANDS = {
    "fit": ["fit", "--plot"],
    "fit of one board": ["fit", "--board", "pico", "--plot"],
    "eval": ["eval", "--text", str(STORIES), "--variants", "int8", "--plot"],
}

of_each_command = pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)


@of_each_command
def test_a_picture_with_another_ending_is_refused(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "picture.png"
    assert cli.run([*command, str(path)]) == 2
    assert capsys.readouterr() == ("", f"error: --plot {path}: expected a file that ends in .svg.\n")
    assert not path.exists()


@of_each_command
def test_a_folder_is_no_place_for_a_picture(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "pictures.svg"
    folder.mkdir()
    assert cli.run([*command, str(folder)]) == 2
    assert capsys.readouterr() == ("", f"error: --plot {folder}: this is a folder. Name a file in it.\n")


@pytest.mark.skipif(sys.platform != "linux", reason="/proc of Linux")
@of_each_command
def test_a_picture_that_cannot_be_written_is_told_before_the_work(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([*command, f"{NOWHERE}/x.svg"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"error: --plot {NOWHERE}/x.svg: cannot be written (No such file or directory). Name another file.\n"


def test_a_file_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--save .*records\.toml: cannot be written \(Not a directory\)"):
        check_result_file("--save", tmp_path / "file/records.toml", ".toml")


def test_the_check_leaves_neither_file_nor_folder_and_changes_nothing(tmp_path: Path) -> None:
    old = tmp_path / "old.svg"
    old.write_text("a picture")
    check_result_file("--plot", old, ".svg")
    check_result_file("--plot", tmp_path / "new/folder/new.svg", ".svg")
    assert [path.name for path in tmp_path.iterdir()] == ["old.svg"]
    assert old.read_text() == "a picture"
