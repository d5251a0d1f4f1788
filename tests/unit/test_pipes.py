"""A pipe or a device in place of a file is refused at once, wherever the tool takes one, and never waited for."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import click
import pytest

from tests.conftest import STORY_MODEL
from tests.unit import call_models
from tinyllm.boards.description import BOARDS_DIR
from tinyllm.codegen.tokenizers.formats.find import find_tokenizer
from tinyllm.errors import UserError
from tinyllm.host.chat.transcript import load_transcript, save_transcript
from tinyllm.host.cli import app as cli
from tinyllm.host.cli.model_options import LOAD_OPTIONS
from tinyllm.host.cli.result_file import check_result_file
from tinyllm.host.link.messages import HelloReply

if sys.platform == "win32":
    pytest.skip("makes pipes in folders", allow_module_level=True)

SECONDS = 60
"""On a busy machine the import of torch alone may take many."""

NEEDED = {
    "eval": ["--text", str(STORY_MODEL / "README.md"), "--variants", "int8"],
    "grade": ["--questions", str(STORY_MODEL / "README.md")],
    "library": ["-o", "library"],
    "pairs": ["-o", "pairs"],
    "stories": [str(STORY_MODEL), "-o", "stories.txt"],
    "train": ["--text", "text.txt", "--out", "trained"],
    "train pairs": ["--out", "trained"],
}
"""What a verb, or an option of it, asks for besides."""

IN_A_FOLDER = (
    *("config.json", "generation_config.json", "adapter_config.json", "adapter_model.safetensors"),
    *("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"),
    *("tokenizer.model", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("chat_template.jinja", "actions.toml", "vocab.txt", "ranks.tiktoken", "README.md", "LICENSE"),
)
"""Files of a model's folder that some reader looks for."""


@pytest.fixture(autouse=True)
def in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test fails if it waits."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TINYLLM_HOME", str(tmp_path / "home"))

    def waits(*about: object) -> None:
        pytest.fail("it waits for a pipe")

    before = signal.signal(signal.SIGALRM, waits)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe.txt")
    return tmp_path / "pipe.txt"


def file_options() -> list[tuple[str, click.Parameter]]:
    """Verb and parameter, those of LOAD_OPTIONS once."""
    found, seen = [], set[str]()
    of_models = {option.name for option in _parameters(LOAD_OPTIONS)}
    for verb in cli.VERBS:
        command = importlib.import_module(f"tinyllm.host.cli.{verb}").command
        for parameter in command.params:
            name = parameter.name if parameter.name in of_models else f"{verb} {parameter.name}"
            if isinstance(parameter.type, click.Path) and name not in seen:
                seen.add(name)
                found.append((verb, parameter))
    return found


def _parameters(options: tuple[object, ...]) -> list[click.Parameter]:
    def nothing() -> None:
        pass

    for option in options:
        option(nothing)  # type: ignore[operator]
    return list(nothing.__click_params__)  # type: ignore[attr-defined]


OPTIONS = file_options()


@pytest.mark.parametrize(("verb", "parameter"), OPTIONS, ids=[f"{verb} {one.name}" for verb, one in OPTIONS])
def test_a_pipe_in_place_of_the_file_of_any_option_is_refused_at_once(
    verb: str, parameter: click.Parameter, pipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    needed = list(NEEDED.get(f"{verb} {parameter.name}", NEEDED.get(verb, [])))
    Path("text.txt").write_text("\n<|endoftext|>\n".join(call_models.CORPUS * 40))
    if isinstance(parameter, click.Argument):
        command = [verb, str(pipe), *needed[1:]]
    else:
        for option in parameter.opts:  # It takes the pipe's place.
            if option in needed:
                del needed[needed.index(option) : needed.index(option) + 2]
        command = [verb, *needed, parameter.opts[-1], str(pipe)]
    assert cli.run(command) == 2
    said = capsys.readouterr().err
    assert pipe.name in said and len(said.splitlines()) <= 2
    assert pipe.is_fifo()


def test_there_are_options_to_try() -> None:
    assert {"text", "tools", "prefix", "actions", "phrases", "questions", "origin"} & {one.name for _, one in OPTIONS}
    assert len(OPTIONS) > 20


@pytest.mark.parametrize("name", IN_A_FOLDER)
def test_a_pipe_among_the_files_of_a_model_is_refused_or_passed_over(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(STORY_MODEL, tmp_path / "model")
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    if cli.run(["inspect", str(folder)]) != 0:
        said = capsys.readouterr().err
        assert said.startswith("error: ") and str(folder) in said and len(said.splitlines()) <= 2


@pytest.mark.parametrize("name", ["tok512.bin", "tok512.model", "tokenizer.bin", "tokenizer.model", "other.bin"])
def test_a_pipe_beside_a_checkpoint_is_no_tokenizer_of_it(name: str, stories_llama2c: Path, tmp_path: Path) -> None:
    shutil.copy(stories_llama2c, tmp_path / "stories.bin")
    os.mkfifo(tmp_path / name)
    with pytest.raises(UserError, match="no tokenizer of 512 pieces beside it"):
        find_tokenizer(tmp_path / "stories.bin", 512)


@pytest.mark.parametrize("file", ["/dev/zero", "pipe.txt"])
def test_a_model_that_is_a_pipe_or_a_device_is_refused(
    file: str, pipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["inspect", file]) == 2
    assert f"{file} is not a regular file" in capsys.readouterr().err


def test_a_board_whose_file_is_a_pipe_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "boards").mkdir()
    os.mkfifo(tmp_path / "boards/mine.toml")
    monkeypatch.setenv(BOARDS_DIR, str(tmp_path / "boards"))
    assert cli.run(["build", "--board", "mine"]) == 2
    assert "mine.toml is not a regular file" in capsys.readouterr().err


def test_a_result_takes_the_place_of_no_pipe_or_device(pipe: Path) -> None:
    for path in (pipe, Path("/dev/null")):
        with pytest.raises(UserError, match="not a regular file"):
            check_result_file("--save", path, path.suffix)


def test_a_conversation_is_neither_read_from_a_pipe_nor_saved_in_one(pipe: Path) -> None:
    place = pipe.rename(pipe.with_suffix(".json"))
    with pytest.raises(UserError, match="is not a regular file"):
        load_transcript(place, cast(HelloReply, None))
    with pytest.raises(UserError, match="there is such a file already"):
        save_transcript(place, {"turns": []})


def test_the_checkpoint_of_a_training_that_is_a_pipe_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch", reason="training needs torch: pip install 'tinyllm[train]'")
    from tinyllm.models.training.train import CHECKPOINT

    (tmp_path / "trained").mkdir()
    os.mkfifo(tmp_path / "trained" / CHECKPOINT)
    (tmp_path / "text.txt").write_text("\n<|endoftext|>\n".join(call_models.CORPUS * 40))
    shape = ("--dim", "16", "--blocks", "1", "--heads", "2", "--vocab", "300", "--context", "32", "--steps", "2")
    assert cli.run(["train", "--text", "text.txt", "--out", "trained", *shape]) == 2
    assert f"{CHECKPOINT} is not a regular file" in capsys.readouterr().err
