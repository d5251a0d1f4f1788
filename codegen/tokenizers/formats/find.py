"""Finds the tokenizer file that belongs to a model, and reads a tokenizer file of any format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tinyllm.codegen.checkpoints.gguf.file import is_gguf_file
from tinyllm.codegen.tokenizers.formats.gguf import read_gguf_tokenizer
from tinyllm.codegen.tokenizers.formats.llama2c import is_llama2c_tokenizer, read_llama2c_tokenizer
from tinyllm.codegen.tokenizers.formats.sentencepiece import is_sentencepiece_model, read_sentencepiece
from tinyllm.codegen.tokenizers.formats.tiktoken import is_tiktoken, read_tiktoken
from tinyllm.codegen.tokenizers.formats.tokenizer_json import is_tokenizer_json, read_tokenizer_json
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer
from tinyllm.errors import UserError
from tinyllm.files import file_size
from tinyllm.text import one_line

START_SIZE = 4096
IN_A_FOLDER = ("tokenizer.json", "tokenizer.model", "spiece.model")
SHOWN = 3
"""The most rejected files that a message names."""
LONGEST_REASON = 160
"""The most characters of the reason for each."""


FORMATS: tuple[tuple[Callable[[bytes], bool], Callable[[Path], Tokenizer]], ...] = (
    (is_tokenizer_json, read_tokenizer_json),
    (is_tiktoken, read_tiktoken),
    (is_sentencepiece_model, read_sentencepiece),
    (is_llama2c_tokenizer, read_llama2c_tokenizer),
)
"""For each format, in the order in which they are tried: the test of a file's beginning, and the reader."""


def read_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer at `path`; the content decides the format. Raises UserError if it is no valid tokenizer."""
    if is_gguf_file(path):
        return read_gguf_tokenizer(path)
    start = _start(path)
    for is_format, read in FORMATS:
        if is_format(start):
            return read(path)
    raise UserError(
        f"{path} is not a tokenizer: it starts with {start[:12]!r}, expected a tokenizer.json, a sentencepiece .model,"
        " a .tiktoken, a llama2.c tok.bin or a .gguf; give one of these"
    )


def find_tokenizer(model_path: Path, vocab_size: int) -> Path:
    """The file with the tokenizer of a checkpoint.

    In a folder these are tried in turn: tokenizer.json (which transformers itself takes), tokenizer.model,
    spiece.model, the only *.tiktoken. A GGUF file holds its own tokenizer.

    Beside any other file: tokenizer.model, tok<vocab_size>.model, tok<vocab_size>.bin, tokenizer.bin. A name without
    the size is passed over if its vocabulary has another size. After these comes the only other *.model or *.bin there
    that is a tokenizer of this size. Raises UserError if there are several of these, or no tokenizer at all. The latter
    error names the files that were passed over, with the reasons.
    """
    if model_path.is_dir():
        return _find_in_folder(model_path)
    if model_path.is_file() and is_gguf_file(model_path):
        return model_path
    folder = model_path.parent
    names = ("tokenizer.model", f"tok{vocab_size}.model", f"tok{vocab_size}.bin", "tokenizer.bin")
    passed_over = []
    for path in (folder / name for name in names):
        if not path.is_file():
            continue
        if str(vocab_size) in path.name or (why := _unfit(path, vocab_size)) is None:
            return path
        passed_over.append(why)
    others = {*folder.glob("*.model"), *folder.glob("*.bin")} - {model_path} - {folder / name for name in names}
    matching = []
    for path in sorted(others):
        if (why := _unfit(path, vocab_size)) is None:
            matching.append(path)
        elif _is_tokenizer(path):
            passed_over.append(why)
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise UserError(
            f"{model_path}: {len(matching)} tokenizers of {vocab_size} pieces beside it"
            f" ({', '.join(path.name for path in matching)}); name one of them tok{vocab_size}.bin or .model"
        )
    more = [f"{len(passed_over) - SHOWN} more"] if len(passed_over) > SHOWN else []
    rejected = f"\nPassed over: {'; '.join(passed_over[:SHOWN] + more)}." if passed_over else ""
    raise UserError(
        f"{model_path}: no tokenizer of {vocab_size} pieces beside it (looked for {', '.join(names)}"
        f" and any other *.model or *.bin); put it there, or give it with --tokenizer{rejected}"
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


def _unfit(path: Path, vocab_size: int) -> str | None:
    """Why a file cannot be the tokenizer of a model with this vocabulary, in one line; None if it can."""
    try:
        found = read_tokenizer(path).vocab_size
    except UserError as error:
        # A reason that is cut short may end in a punctuation mark.
        return one_line(str(error).replace(str(path), path.name), LONGEST_REASON).rstrip(";,: ")
    return None if found == vocab_size else f"{path.name} has {found:,} pieces"


def _is_tokenizer(path: Path) -> bool:
    """Whether a file begins like a tokenizer, valid or not."""
    try:
        file_size(path)  # Refuses a pipe, which would block the read.
        start = _start(path)
    except (OSError, UserError):
        return False
    return any(is_format(start) for is_format, _ in FORMATS)


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(START_SIZE)
