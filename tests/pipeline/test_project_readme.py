"""README.md of an emitted project names what is in it, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import STORY_MODEL
from tinyllm.codegen.emit.project import Project
from tinyllm.host.api.model import load
from tinyllm.host.cli import app as cli

PROJECTS: dict[str, Callable[[], Project]] = {
    "host": lambda: load(STORY_MODEL, context=64).emit("host"),
    "pico2": lambda: load("chat", context=64).emit("pico2"),
    "pico2-virtual": lambda: load("chat", context=64).emit("pico2", virtual=True),
    "esp32s3-n16r8": lambda: load("chat", context=64, weights_in="partition").emit("esp32s3-n16r8"),
}


@pytest.fixture(scope="module", params=PROJECTS)
def project(request: pytest.FixtureRequest) -> Project:
    return PROJECTS[request.param]()


def section(project: Project, title: str) -> str:
    return project.files["README.md"].partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_each_file_has_a_row_and_each_row_a_file(project: Project) -> None:
    rows = re.findall(r"^\| `([^`]+)` \|", section(project, "Files"), re.MULTILINE)
    written = set(project.manifest.files) - {"README.md"} | {".tinyllm.json"}

    def named(row: str) -> set[str]:
        """Of a source and its header one is named."""
        start = re.sub(r"\.[ch]$", ".", row)
        return {
            name for name in written if name == row or ((start != row or row[-1] == "/") and name.startswith(start))
        }

    assert all(named(row) for row in rows)
    assert set.union(*map(named, rows)) == written


def test_each_function_is_declared_in_a_header(project: Project) -> None:
    headers = "\n".join(text for name, text in project.files.items() if name.endswith(".h"))
    functions = re.findall(r"\b((?:tl|tinyllm)_\w+)\(", section(project, "API"))
    assert len(functions) >= 8
    assert [name for name in functions if not re.search(rf"\b{name}\(", headers)] == []


def test_what_to_edit_first_is_there(project: Project) -> None:
    steps = re.findall(r"^(\d+)\. `([^`]+)`", section(project, "What to edit first"), re.MULTILINE)
    assert [number for number, _ in steps] == [str(place + 1) for place in range(len(steps))]
    assert steps and all(name in project.files for _, name in steps)


def test_calls_and_uploads_are_told_of_a_project_that_has_them(project: Project) -> None:
    text, board = project.files["README.md"], project.board
    assert ("light.set" in text) == (board.name != "host") == ("_prompt_chat" in text)
    assert ("pio run -t upload`" in text) == board.takes_uploads == ("loop()" in text)
    assert ("pio run -t upload_weights`" in text) == (board.name == "esp32s3-n16r8")
    assert ("tinyllm chat MODEL --board pico2 --virtual" in text) == (board.name == "pico2-virtual")


def test_it_is_no_part_of_the_build_that_a_board_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another sentence in it is no other program, so a board need not be flashed again."""
    one = PROJECTS["host"]()
    monkeypatch.setattr("tinyllm.codegen.emit.project.project_readme", lambda *written, **about: "Another sentence.\n")
    other = PROJECTS["host"]()
    assert one.manifest.files["README.md"] != other.manifest.files["README.md"]
    assert one.manifest.build_id == other.manifest.build_id


# --- build --as library ---


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.run(list(arguments))
    said = capsys.readouterr()
    return code, said.out, said.err


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("options", [(), ("--board", "pico2", "--cores", "2", "--context", "64")], ids=["any", "pico2"])
def test_build_as_library_is_the_verb_library(
    options: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    built = run(capsys, "build", str(STORY_MODEL), "--as", "library", "-o", "TinyLLM", *options)
    monkeypatch.chdir(tmp_path / "b")
    assert built == run(capsys, "library", str(STORY_MODEL), "-o", "TinyLLM", *options)
    assert built[0] == 0
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b") != {}


def test_what_no_library_has_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(tmp_path / "new")
    for options, said in (
        (("--as", "library"), "say with -o where it goes"),
        (("--as", "library", "--board", "pico2", "--virtual", "-o", folder), "--virtual has no sketch"),
        (("--cores", "2", "-o", folder), "--cores is for --as library"),
        (("--as", "sketch", "-o", folder), "'sketch' is not one of 'project', 'library'"),
    ):
        code, _, err = run(capsys, "build", str(STORY_MODEL), *options)
        assert code == 2
        assert said in err and "Traceback" not in err
        assert not (tmp_path / "new").exists()
