"""Tokenizers: one file per format, and the reference encoder and decoder."""

from __future__ import annotations

from pathlib import Path

from tinyllm.boards.errors import UserError
from tinyllm.codegen.checkpoints.gguf_file import is_gguf_file
from tinyllm.codegen.tokenizers.gguf import read_gguf_tokenizer
from tinyllm.codegen.tokenizers.llama2c import is_llama2c_tokenizer, read_llama2c_tokenizer
from tinyllm.codegen.tokenizers.sentencepiece import is_sentencepiece_model, read_sentencepiece
from tinyllm.codegen.tokenizers.tokenizer import PieceKind, Tokenizer

__all__ = ["PieceKind", "Tokenizer", "check_vocabulary", "find_tokenizer", "read_tokenizer"]


def read_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer at `path`, its format told by its content. Raises UserError if it is not sound."""
    if is_gguf_file(path):
        return read_gguf_tokenizer(path)
    with path.open("rb") as file:
        start = file.read(12)
    if is_sentencepiece_model(start):
        return read_sentencepiece(path)
    if is_llama2c_tokenizer(start):
        return read_llama2c_tokenizer(path)
    raise UserError(
        f"{path} is not a tokenizer: it starts with {start!r}, expected a sentencepiece .model, a llama2.c tok.bin"
        " or a .gguf; give one of these"
    )


def find_tokenizer(model_path: Path, vocab_size: int) -> Path:
    """The tokenizer that belongs to a checkpoint: tokenizer.model in a folder; beside a file, by name or by size.

    A GGUF file holds its own.

    Beside a file these are tried in turn: tokenizer.model, tok<vocab_size>.model, tok<vocab_size>.bin, tokenizer.bin.
    A name without its vocabulary size is passed over if the vocabulary differs. Then the only other *.model or *.bin
    there that is a tokenizer of this size. Raises UserError if there is none, or more than one.
    """
    if model_path.is_dir():
        path = model_path / "tokenizer.model"
        if not path.is_file():
            raise UserError(f"{model_path}: no tokenizer.model in it; put the model's sentencepiece tokenizer there")
        return path
    if model_path.is_file() and is_gguf_file(model_path):
        return model_path
    folder = model_path.parent
    names = ("tokenizer.model", f"tok{vocab_size}.model", f"tok{vocab_size}.bin", "tokenizer.bin")
    for name in names:
        path = folder / name
        if path.is_file() and (str(vocab_size) in name or _has_vocabulary(path, vocab_size)):
            return path
    others = sorted({*folder.glob("*.model"), *folder.glob("*.bin")} - {model_path})
    matching = [path for path in others if _has_vocabulary(path, vocab_size)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise UserError(
            f"{model_path}: {len(matching)} tokenizers of {vocab_size} pieces beside it"
            f" ({', '.join(path.name for path in matching)}); name one of them tok{vocab_size}.bin or .model"
        )
    raise UserError(
        f"{model_path}: no tokenizer of {vocab_size} pieces beside it (looked for {', '.join(names)}"
        f" and any other *.model or *.bin in {folder}); put it there"
    )


def _has_vocabulary(path: Path, vocab_size: int) -> bool:
    try:
        return read_tokenizer(path).vocab_size == vocab_size
    except UserError:
        return False


def check_vocabulary(model_path: Path, vocab_size: int, tokenizer_path: Path, tokenizer: Tokenizer) -> None:
    """Raises UserError, with both files and numbers, unless the model's vocabulary is the tokenizer's."""
    if tokenizer.vocab_size != vocab_size:
        raise UserError(
            f"{model_path} has a vocabulary of {vocab_size}, its tokenizer {tokenizer_path} has"
            f" {tokenizer.vocab_size} pieces; give the tokenizer that the model was trained with"
        )
