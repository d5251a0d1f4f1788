"""Files and folders with names that no one would choose are read like others, under a harmless name."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.unit.checkpoint_files import legacy_bytes, random_model, write_huggingface
from tests.unit.gguf_files import metadata_of, tensors_of, write_gguf
from tinyllm.codegen.checkpoints import inspect_checkpoint, read_model
from tinyllm.errors import UserError
from tinyllm.host.cli.app import run
from tinyllm.host.model.load import model_path

NAMES = {
    b"a\nbuild_flags = -DX": "a_build_flags = -DX",
    b"mod\xffel": "mod_el",
    b"q\"'$%;\\x": "q_'____x",
    b"\x1b[2J": "_[2J",
    "модель 猫".encode(): "модель 猫",
}


@pytest.fixture(params=NAMES, ids=str)
def odd(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str]:
    """A path that does not exist yet, and the name of a model there."""
    path = tmp_path / os.fsdecode(request.param)
    try:
        path.mkdir()
    except (OSError, UnicodeError):
        pytest.skip("this system has no such names")
    path.rmdir()
    return path, NAMES[request.param]


def test_a_folder_of_any_name_is_read_under_a_harmless_one(odd: tuple[Path, str]) -> None:
    path, name = odd
    write_huggingface(path, random_model())
    assert read_model(path).config.name == inspect_checkpoint(path).config.name == name


def test_a_file_of_any_name_is_read_under_a_harmless_one(odd: tuple[Path, str]) -> None:
    path, name = odd
    path.with_name(f"{path.name}.bin").write_bytes(legacy_bytes(random_model()))
    assert read_model(path.with_name(f"{path.name}.bin")).config.name == name
    model = random_model()
    gguf = write_gguf(
        path.with_name(f"{path.name}.gguf"), "llama", metadata_of(model, "llama"), tensors_of(model, "llama")
    )
    assert read_model(gguf).config.name == name


def test_inspect_shows_a_path_of_any_name(
    odd: tuple[Path, str], stories_llama2c: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, name = odd
    path.mkdir()
    model = shutil.copy(stories_llama2c, path / f"{path.name}.bin")
    shutil.copy(stories_llama2c.with_name("tok512.bin"), path)
    assert run(["inspect", str(model)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"{name}  (")
    assert all(character.isprintable() or character == "\n" for character in shown)
    assert run(["inspect", str(model), "--json"]) == 0
    out = capsys.readouterr().out
    assert out.encode()
    assert json.loads(out)["path"] == model.as_posix()


def test_an_error_names_a_path_that_is_not_utf8(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = str(tmp_path / "mod\udcffel\x1b[2J")
    assert run(["inspect", missing]) == 2
    assert "mod\ufffdel[2J: neither a bundled model nor a file" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a" * 300, "a\0b", "a/" * 3000])
def test_what_can_be_no_path_is_no_model(name: str) -> None:
    with pytest.raises(UserError, match="neither a bundled model nor a file"):
        model_path(name)
