"""Every file of the corpus is refused in words, in little memory, by the reader that its folder is named after."""

from __future__ import annotations

import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.checkpoint_files import random_model, write_huggingface
from tests.unit.huggingface_files import HALF
from tests.unit.tokenizer_files import marked, prepend_and_replace, write_tokenizer
from tinyllm.codegen.checkpoints import read_model
from tinyllm.codegen.tokenizers import read_tokenizer
from tinyllm.codegen.tokenizers.formats.tiktoken import read_tiktoken
from tinyllm.errors import UserError

CORPUS = Path(__file__).parent / "corpus"
FILES = sorted(path for path in CORPUS.glob("*/*") if path.is_file())
MEMORY = 8 << 20
LONGEST_MESSAGE = 500


def alone(reader: Callable[[Path], object]) -> Callable[[Path, Path], object]:
    """A reader of one file, under the name that it has in the corpus."""

    def read(path: Path, folder: Path) -> object:
        return reader(Path(shutil.copy(path, folder)))

    return read


def in_a_model(name: str) -> Callable[[Path, Path], object]:
    """The reader of Hugging Face folders, the file being one of an otherwise sound folder."""

    def read(path: Path, folder: Path) -> object:
        write_huggingface(folder / "tiny", random_model(HALF))
        if name == "pytorch_model.bin":
            (folder / "tiny/model.safetensors").unlink()
        shutil.copy(path, folder / "tiny" / name)
        return read_model(folder / "tiny")

    return read


def beside_a_tokenizer(path: Path, folder: Path) -> object:
    tokenizer = write_tokenizer(folder, marked(prepend_and_replace(), None))
    shutil.copy(path, folder / "tokenizer_config.json")
    return read_tokenizer(tokenizer)


READERS: dict[str, Callable[[Path, Path], object]] = {
    "gguf": alone(read_model),
    "gguf_tokenizer": alone(read_tokenizer),
    "huggingface_config": in_a_model("config.json"),
    "llama2c": alone(read_model),
    "llama2c_tokenizer": alone(read_tokenizer),
    "safetensors": in_a_model("model.safetensors"),
    "sentencepiece": alone(read_tokenizer),
    "tiktoken": alone(read_tiktoken),
    "tokenizer_config": beside_a_tokenizer,
    "tokenizer_json": alone(read_tokenizer),
    "torch": in_a_model("pytorch_model.bin"),
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_hostile_file_is_refused_in_words_and_little_memory(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    reader = READERS[path.parent.name]
    tracemalloc.start()
    try:
        with pytest.raises(UserError) as caught:
            reader(path, tmp_path)
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert str(tmp_path) in message
    assert len(message.splitlines()) <= 2
    assert len(message) < len(str(tmp_path)) + LONGEST_MESSAGE
    message.encode()
    assert not (tmp_path / "unpickled").exists()


def test_there_are_hostile_files_for_every_reader() -> None:
    assert {path.parent.name for path in FILES} == set(READERS)
