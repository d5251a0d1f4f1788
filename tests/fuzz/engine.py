"""The C that a board runs, built for libFuzzer with the address and undefined behaviour sanitizers: a program a target.

A target is a file of c/ that says what must hold. It is linked with the real emitted engine and console of a tiny
random model that chats and makes calls; the encoder with tokenizers of several forms, weights_header with a model whose
weights lie beside the program.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from tests.pipeline.c_library import compile_and_link
from tests.pipeline.test_engine_text import TEXT_SOURCES, text_files
from tests.unit import call_models
from tests.unit.chat_templates import LLAMA2
from tests.unit.tokenizer_forms import form
from tests.unit.trained_tokenizers import read_trained
from tinyllm.boards.description import load_board
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.emit.project import Project, emit_project
from tinyllm.codegen.memory.plan import PARTITION, PROGRAM, memory_needs
from tinyllm.codegen.memory.weights_image import HEADER_BYTES
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer
from tinyllm.errors import UserError
from tinyllm.files import WEIGHTS, write_file

C = Path(__file__).with_name("c")
COMPILER = "clang"
CONTEXT = 48
"""Short, so that conversations outgrow it."""
SANITIZED = ("-std=c99", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fno-sanitize-recover=all")
COVERED = "-fsanitize=fuzzer-no-link,address,undefined"
FUZZED = "-fsanitize=fuzzer,address,undefined"
COUNTED = "-fsanitize=address,undefined"
INCLUDE = ("-I.", "-Isrc", *(f"-Isrc/{part}" for part in ("engine", "kernels", "console", "port")))

OF_THE_BOARD = ("program_voice", "text_voice", "chat_plan", "sampler", "call_automaton")
"""Targets of the whole engine and console."""
DAMAGED_FRAMES = "damaged_frames"
"""A program of its own, not of libFuzzer: it counts."""
ENCODERS: dict[str, Callable[[], Tokenizer]] = {
    "encoder": lambda: form("byte-level qwen2 with normal form C").ours,
    "encoder_added": lambda: form("byte-level with whole words").ours,
    "encoder_unigram": lambda: form("sentencepiece unigram, nmt_nfkc, symbols with spaces").ours,
    "encoder_words": lambda: read_trained("word pieces, BERT uncased"),
    "encoder_bytes": lambda: form("byte fallback, metaspace").ours,
}
"""Targets of the encoder alone: with byte-level merges and a normal form, tokens in the text, a character map, word
pieces, and byte fallback."""
WEIGHTS_HEADER = "weights_header"
C_TARGETS = (*OF_THE_BOARD, WEIGHTS_HEADER, *ENCODERS)


@dataclass(frozen=True)
class Target:
    """A program of libFuzzer."""

    name: str
    program: Path


def has_compiler() -> bool:
    """Whether clang is here, with libFuzzer."""
    command = [COMPILER, "-x", "c", "-fsanitize=fuzzer", "-", "-o", os.devnull]
    source = "int LLVMFuzzerTestOneInput(void) { return 0; }"
    return (
        shutil.which(COMPILER) is not None
        and not subprocess.run(command, input=source.encode(), capture_output=True).returncode
    )


@cache
def project(weights_in: str = PROGRAM) -> Project:
    """The tiny model for the host board: it takes turns of a chat, and makes the calls of the bundled catalogue."""
    model = call_models.call_model(CONTEXT)
    config = replace(model.config, chat_template=LLAMA2)
    integers, board = quantize(replace(model, config=config), CONTEXT), load_board("host")
    tokenizer = call_models.tokenizer()
    return emit_project(integers, tokenizer, board, memory_needs(integers, tokenizer, board, weights_in))


def build_targets(names: Sequence[str], folder: Path) -> list[Target]:
    """Compile and link these targets of C_TARGETS in `folder`. Raises UserError for a name that is none."""
    if unknown := [name for name in names if name not in (*C_TARGETS, DAMAGED_FRAMES)]:
        raise UserError(f"there is no fuzz target {unknown[0]}, expected some of {', '.join(C_TARGETS)}")
    targets = [build_encoder(name, folder / name) for name in names if name in ENCODERS]
    if board := [name for name in names if name in (*OF_THE_BOARD, DAMAGED_FRAMES)]:
        targets += _of_the_board(board, folder / "board")
    if WEIGHTS_HEADER in names:
        targets.append(_weights_header(folder / WEIGHTS_HEADER))
    return sorted(targets, key=lambda target: names.index(target.name))


def _of_the_board(names: Sequence[str], folder: Path) -> list[Target]:
    files = project().files
    _write(files, folder)
    sources = [name for name in files if name.endswith(".c") and name.split("/")[1] != "port"]
    sources += ["src/port/port_actions.c", str(C / "board.c")]
    _compile(sources, folder)
    objects = [f"{Path(source).stem}.o" for source in sources]
    return [_link(name, C / f"{name}.c", objects, folder, fuzzed=name != DAMAGED_FRAMES) for name in names]


@cache
def tokenizer_of(name: str) -> Tokenizer:
    """That of one of ENCODERS: trained once, for training breaks ties anew each time."""
    return ENCODERS[name]()


def build_encoder(name: str, folder: Path) -> Target:
    """A target of ENCODERS, in its own folder."""
    _write(text_files(tokenizer_of(name)), folder)
    sources = ["vocabulary.c", *map(str, TEXT_SOURCES)]
    engine = f"-I{TEXT_SOURCES[0].parent}"
    _compile(sources, folder, engine)
    return _link(name, C / "encoder.c", [f"{Path(source).stem}.o" for source in sources], folder, engine)


def _weights_header(folder: Path) -> Target:
    apart = project(PARTITION)
    assert apart.weights is not None
    _write(apart.files, folder)
    write_file(folder / WEIGHTS, apart.weights)
    _compile(["src/weights.c", "src/engine/crc32.c"], folder)
    header = f"-DHEADER={HEADER_BYTES}u"
    return _link(WEIGHTS_HEADER, C / "weights_header.c", ["weights.o", "crc32.o"], folder, header)


def _write(files: dict[str, str], folder: Path) -> None:
    for name, text in files.items():
        write_file(folder / name, text)


def _compile(sources: Sequence[str], folder: Path, *flags: str) -> None:
    compile_and_link([COMPILER, *SANITIZED, COVERED, *INCLUDE, f"-I{C}", *flags], sources, folder)


def _link(name: str, harness: Path, objects: Sequence[str], folder: Path, *flags: str, fuzzed: bool = True) -> Target:
    command = [
        COMPILER,
        *SANITIZED,
        FUZZED if fuzzed else COUNTED,
        *INCLUDE,
        f"-I{C}",
        *flags,
        str(harness),
        *objects,
        "-o",
        name,
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return Target(name, folder / name)
