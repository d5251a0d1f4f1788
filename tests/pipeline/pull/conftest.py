"""The hub on this computer, with two repositories that a test may ask for, and a cache of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from tests.conftest import STORY_MODEL
from tests.pipeline.pull.hub_server import HubServer, Repository, hub_server
from tinyllm.host.cli import app as cli
from tinyllm.models.known import KnownFile, known_models, pinned_files

NAMES = {"stories.bin": "stories260K.bin"}
REPO = "someone/tiny-model"

Tinyllm = Callable[..., tuple[int, str, str]]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """The server, and a cache of its own for the test."""
    with hub_server() as server:
        monkeypatch.setenv("TINYLLM_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield server


@pytest.fixture
def stories(hub: HubServer, stories_llama2c: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    """The repository of a known model: the name and commit of stories260K, the files and pins of a model made here."""
    known = known_models()["stories260K"]
    files = {
        f"stories260K/{NAMES.get(path.name, path.name)}": path.read_bytes() for path in stories_llama2c.parent.iterdir()
    }
    pins = tuple(
        KnownFile(known.repo, known.revision, file.path, len(files[file.path]), sha256(files[file.path]).hexdigest())
        for file in known.files
    )
    monkeypatch.setitem(known_models(), known.name, replace(known, files=pins))
    pinned_files.cache_clear()
    yield hub.repositories.setdefault(known.repo, Repository(files, commit=known.revision))
    pinned_files.cache_clear()


@pytest.fixture
def folder_model(hub: HubServer) -> Repository:
    """The bundled model as somebody's repository, with files of no use to anybody."""
    source = STORY_MODEL
    files = {path.name: path.read_bytes() for path in source.iterdir() if path.is_file()}
    files |= {".gitattributes": b"*", "training_args.bin": b"x" * 30, "onnx/model.onnx": b"x" * 40}
    return hub.repositories.setdefault(REPO, Repository(files))


@pytest.fixture
def tinyllm(capsys: pytest.CaptureFixture[str]) -> Tinyllm:
    """Exit code, stdout and stderr of a command."""

    def command(*arguments: str) -> tuple[int, str, str]:
        code = cli.run(list(arguments))
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return command
