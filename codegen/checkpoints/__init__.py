"""Checkpoint readers: one file per format, each producing a `Model`."""

from __future__ import annotations

from pathlib import Path

from tinyllm.codegen.arithmetic.float_model import Model
from tinyllm.codegen.checkpoints.facts import CheckpointFacts
from tinyllm.codegen.checkpoints.gguf.file import is_gguf_file
from tinyllm.codegen.checkpoints.gguf.reader import inspect_gguf, read_gguf
from tinyllm.codegen.checkpoints.huggingface.reader import inspect_huggingface, read_huggingface
from tinyllm.codegen.checkpoints.llama2c import read_llama2c
from tinyllm.codegen.checkpoints.llama2c_facts import inspect_llama2c
from tinyllm.errors import UserError


def read_model(
    path: Path,
    *,
    context: int | None = None,
    share_embedding: bool | None = None,
    layer_sharing: bool | None = None,
) -> Model:
    """The model at `path`: a Hugging Face folder, a GGUF file, or a llama2.c file of any of its formats.

    context: positions the build will use, where the file holds rotary factors for several; see the readers.
    share_embedding, layer_sharing: override config.json of a Hugging Face folder.

    Raises UserError, naming the file, for whatever is not a whole and sound checkpoint of these.
    """
    if path.is_dir():
        return read_huggingface(path, context=context, share_embedding=share_embedding, layer_sharing=layer_sharing)
    _require_file(path, share_embedding, layer_sharing)
    if is_gguf_file(path):
        return read_gguf(path, context=context)
    return read_llama2c(path)


def inspect_checkpoint(
    path: Path,
    *,
    context: int | None = None,
    share_embedding: bool | None = None,
    layer_sharing: bool | None = None,
) -> CheckpointFacts:
    """What the checkpoint at `path` is, told from its headers: no weight is read.

    Arguments and errors are those of `read_model`.
    """
    if path.is_dir():
        return inspect_huggingface(path, context=context, share_embedding=share_embedding, layer_sharing=layer_sharing)
    _require_file(path, share_embedding, layer_sharing)
    if is_gguf_file(path):
        return inspect_gguf(path, context=context)
    return inspect_llama2c(path)


def _require_file(path: Path, share_embedding: bool | None, layer_sharing: bool | None) -> None:
    if path.suffix in (".safetensors", ".json") and path.is_file():
        raise UserError(f"{path} is one file of a Hugging Face model; give its folder, {path.parent}")
    if share_embedding is not None or layer_sharing is not None:
        raise UserError(f"{path}: share_embedding and layer_sharing are for Hugging Face folders; leave them out")
