"""Checkpoint readers: one file per format, each producing a `Model`."""

from __future__ import annotations

from pathlib import Path

from tinyllm.boards.errors import UserError
from tinyllm.codegen.checkpoints.huggingface import read_huggingface
from tinyllm.codegen.checkpoints.llama2c import read_llama2c
from tinyllm.codegen.model import Model


def read_model(path: Path) -> Model:
    """The model at `path`: a Hugging Face folder, or a llama2.c file of any of its formats.

    Raises UserError, naming the file, for whatever is not a whole and sound checkpoint of these.
    """
    if path.is_dir():
        return read_huggingface(path)
    if path.suffix in (".safetensors", ".json") and path.is_file():
        raise UserError(f"{path} is one file of a Hugging Face model; give its folder, {path.parent}")
    return read_llama2c(path)
