"""From a path to a tokenizer: which file it is that belongs to a model, and of which format."""

from __future__ import annotations

from pathlib import Path

from tinyllm.codegen.checkpoints.gguf.file import is_gguf_file
from tinyllm.codegen.tokenizers.formats.gguf import read_gguf_tokenizer
from tinyllm.codegen.tokenizers.formats.llama2c import is_llama2c_tokenizer, read_llama2c_tokenizer
from tinyllm.codegen.tokenizers.formats.sentencepiece import is_sentencepiece_model, read_sentencepiece
from tinyllm.codegen.tokenizers.formats.tiktoken import is_tiktoken, read_tiktoken
from tinyllm.codegen.tokenizers.formats.tokenizer_json import is_tokenizer_json, read_tokenizer_json
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer
from tinyllm.errors import UserError

START_SIZE = 4096
IN_A_FOLDER = ("tokenizer.json", "tokenizer.model", "spiece.model")


def read_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer at `path`, its format told by its content. Raises UserError if it is not sound."""
    if is_gguf_file(path):
        return read_gguf_tokenizer(path)
    with path.open("rb") as file:
        start = file.read(START_SIZE)
    if is_tokenizer_json(start):
        return read_tokenizer_json(path)
    if is_tiktoken(start):
        return read_tiktoken(path)
    if is_sentencepiece_model(start):
        return read_sentencepiece(path)
    if is_llama2c_tokenizer(start):
        return read_llama2c_tokenizer(path)
    raise UserError(
        f"{path} is not a tokenizer: it starts with {start[:12]!r}, expected a tokenizer.json, a sentencepiece .model,"
        " a .tiktoken, a llama2.c tok.bin or a .gguf; give one of these"
    )


def find_tokenizer(model_path: Path, vocab_size: int) -> Path:
    """The tokenizer that belongs to a checkpoint: the folder's; beside a file, by name or by size.

    In a folder these are tried in turn: tokenizer.json (which transformers itself takes), tokenizer.model,
    spiece.model, the only *.tiktoken. A GGUF file holds its own.

    Beside a file: tokenizer.model, tok<vocab_size>.model, tok<vocab_size>.bin, tokenizer.bin. A name without its
    vocabulary size is passed over if the vocabulary differs. Then the only other *.model or *.bin there that is a
    tokenizer of this size. Raises UserError if there is none, or more than one.
    """
    if model_path.is_dir():
        return _find_in_folder(model_path)
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


def _find_in_folder(folder: Path) -> Path:
    for name in IN_A_FOLDER:
        if (folder / name).is_file():
            return folder / name
    ranks = sorted(folder.glob("*.tiktoken"))
    if len(ranks) == 1:
        return ranks[0]
    found = f"{len(ranks)} *.tiktoken, which of them is not known" if ranks else "no *.tiktoken"
    raise UserError(
        f"{folder}: no {', no '.join(IN_A_FOLDER)} in it and {found}; put the model's tokenizer there,"
        " or give it with --tokenizer"
    )


def _has_vocabulary(path: Path, vocab_size: int) -> bool:
    try:
        return read_tokenizer(path).vocab_size == vocab_size
    except UserError:
        return False
