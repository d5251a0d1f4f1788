"""Checkpoint readers: each format's reader returns a `Model`."""

from __future__ import annotations

from pathlib import Path

from tinyllm.codegen.arithmetic.float_model import Model
from tinyllm.codegen.checkpoints.facts import CheckpointFacts
from tinyllm.codegen.checkpoints.gguf.file import is_gguf_file
from tinyllm.codegen.checkpoints.gguf.reader import inspect_gguf, read_gguf
from tinyllm.codegen.checkpoints.huggingface.adapter import refuse_adapter
from tinyllm.codegen.checkpoints.huggingface.reader import inspect_huggingface, read_huggingface
from tinyllm.codegen.checkpoints.llama2c import inspect_llama2c, read_llama2c
from tinyllm.errors import UserError


def read_model(
    path: Path,
    *,
    context: int | None = None,
    rope_base: float | None = None,
    share_embedding: bool | None = None,
    layer_sharing: bool | None = None,
) -> Model:
    """The model at `path`: a Hugging Face folder, a GGUF file, or a llama2.c file of any of its formats.

    context: positions the build will use; it chooses between two sets of longrope factors, see the readers.
    rope_base: the base of a llama2.c file of version 1 or 2, which does not store it; by default 10000.
    share_embedding, layer_sharing: override config.json of a Hugging Face folder.

    Raises UserError, naming the file, if it is no complete and valid checkpoint of these formats, or if an option does
    not belong to its format.
    """
    if path.is_dir():
        _refuse_rope_base(path, rope_base, "config.json says it as rope_theta")
        return read_huggingface(path, context=context, share_embedding=share_embedding, layer_sharing=layer_sharing)
    _require_file(path, share_embedding, layer_sharing)
    if is_gguf_file(path):
        _refuse_rope_base(path, rope_base, "its metadata say it as rope.freq_base")
        return read_gguf(path, context=context)
    return read_llama2c(path, rope_base=rope_base)


def inspect_checkpoint(
    path: Path,
    *,
    context: int | None = None,
    rope_base: float | None = None,
    share_embedding: bool | None = None,
    layer_sharing: bool | None = None,
) -> CheckpointFacts:
    """The facts of the checkpoint at `path`, from its headers; no weight is read.

    Arguments and errors are those of `read_model`.
    """
    if path.is_dir():
        _refuse_rope_base(path, rope_base, "config.json says it as rope_theta")
        return inspect_huggingface(path, context=context, share_embedding=share_embedding, layer_sharing=layer_sharing)
    _require_file(path, share_embedding, layer_sharing)
    if is_gguf_file(path):
        _refuse_rope_base(path, rope_base, "its metadata say it as rope.freq_base")
        return inspect_gguf(path, context=context)
    return inspect_llama2c(path, rope_base=rope_base)


def _require_file(path: Path, share_embedding: bool | None, layer_sharing: bool | None) -> None:
    refuse_adapter(path)
    if path.suffix in (".safetensors", ".json") and path.is_file():
        raise UserError(f"{path} is one file of a Hugging Face model; give its folder, {path.parent}")
    if share_embedding is not None or layer_sharing is not None:
        raise UserError(f"{path}: share_embedding and layer_sharing are for Hugging Face folders; leave them out")


def _refuse_rope_base(path: Path, rope_base: float | None, instead: str) -> None:
    if rope_base is not None:
        raise UserError(
            f"{path}: --rope-base is for llama2.c files of version 1 and 2; {instead}: leave the option out"
        )
