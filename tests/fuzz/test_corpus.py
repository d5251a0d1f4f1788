"""Every file of corpus/ is refused in words and little memory by the reader of its folder, those of sound/ are read."""

from __future__ import annotations

import shutil
import tracemalloc
from pathlib import Path

import pytest

from tests.fuzz.readers import CORPUS, READERS, SOUND, Bench, Watch, check_refusal, sound_files
from tinyllm.errors import UserError

FILES = sorted(path for path in CORPUS.glob("*/*") if path.is_file())
SOUND_FILES = [path for name in READERS for path in sound_files(name)]
MEMORY = 8 << 20
LARGEST = 300_000
"""Bytes of all inputs in the repository."""


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_hostile_file_is_refused_in_words_and_little_memory(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    reader = READERS[path.parent.name]
    if reader.prepare is not None:
        reader.prepare(tmp_path)
    # A file that is read alone keeps its name, which may say what it is.
    file = Path(shutil.copy(path, tmp_path / (path.name if reader.prepare is None else reader.file)))
    tracemalloc.start()
    try:
        with pytest.raises(UserError) as caught:
            reader.read(file)
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()
    check_refusal(caught.value, tmp_path)
    assert not (tmp_path / "unpickled").exists()


@pytest.mark.parametrize("name", READERS)
def test_the_sound_files_are_read(name: str, tmp_path: Path) -> None:
    bench = Bench(name, tmp_path)
    assert all(bench.read(path.read_bytes()) for path in sound_files(name))


def test_there_are_hostile_and_sound_files_for_every_reader() -> None:
    assert {path.parent.name for path in FILES} == set(READERS) - {"replies"}  # what is no reply is passed over
    assert {path.name for path in SOUND.iterdir()} == set(READERS)


def test_the_inputs_in_the_repository_are_small() -> None:
    inputs = [path for folder in ("corpus", "sound", "c/inputs") for path in (CORPUS.parent / folder).glob("*/*")]
    assert sum(path.stat().st_size for path in inputs) < LARGEST


def test_the_watch_sees_a_file_written_and_code_carried_out(tmp_path: Path) -> None:
    watch = Watch()
    watch.on = True
    try:
        (tmp_path / "made").write_text("x")
        eval("1 + 1")
    finally:
        watch.on = False
    assert [seen.split()[0] for seen in watch.seen] == ["open", "compile", "exec"]
