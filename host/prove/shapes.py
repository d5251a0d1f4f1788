"""Counts what tokens of random models of several shapes cost the virtual boards, in benchmarks/shapes.toml.

    python -m tinyllm.host.prove.shapes [BOARD ...]     count again, then fit (`make costs`)

`costs.py` has the figures that are fitted to these counts. Only the shape of the weights matters: instructions hardly
depend on their values.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from tinyllm.boards.description import FIRMWARE, FOLDER, load_board
from tinyllm.codegen.arithmetic.float_model import F32, Block, Model, ModelConfig, Rope
from tinyllm.codegen.arithmetic.int4 import round_to_nearest
from tinyllm.codegen.arithmetic.integer_model import IntegerModel
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.emit.project import emit_project
from tinyllm.codegen.kernels.choose import kernel_set_of
from tinyllm.codegen.tokenizers import read_tokenizer
from tinyllm.errors import TinyllmError
from tinyllm.files import read_bytes, write_file
from tinyllm.host.build.build import compile_project
from tinyllm.host.connect.board_process import BoardProcess
from tinyllm.host.connect.connection import Connection
from tinyllm.host.link.answer import collect
from tinyllm.host.link.link import Link
from tinyllm.host.link.settings import apply_settings, wire_settings
from tinyllm.host.prove.expected_answers import GREEDY
from tinyllm.host.virtual.parts import PARTS
from tinyllm.host.virtual.profile import Profile

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = Path("benchmarks/shapes.toml")
TOKENIZER = Path("tests/data/tinystories-260k/tokenizer.model")
LARGEST_FILE = 1024 * 1024
CONTEXT = 256
POSITIONS = (0, 20, 64, 255)
PREFILL = 64
"""Tokens of the prompt that is counted."""
HEAD = """\
# What a token of random models costs the virtual boards, by part, counted: what `tinyllm fit` estimates from. Written
# by `make costs`. `decode`: by position, context 256. `prefill`: all of a prompt of 64 tokens together. With two cores:
# core 0, which has the longer way.

"""

MATRICES = ("wq", "wk", "wv", "wo", "w_gate", "w_up", "w_down")

SHAPES = {
    "64": (64, 176, 4, 2, 2),
    "48": (48, 128, 6, 6, 3),
    "96": (96, 96, 3, 3, 2),
    "128": (128, 352, 8, 4, 2),
    "256": (256, 704, 8, 2, 1),
    "288": (288, 768, 6, 6, 1),
}
"""dim, hidden_dim, heads, heads of keys and values, blocks."""

SHARPNESS = 2.5
"""The factor of random queries and keys with which attention ignores as many positions as in a story model."""

VARIANTS = {"int8": ("int8", 8), "int4": ("int4", 8), "int4 cache": ("int8", 4)}
"""Name -> format of the blocks' weights, and bits of the codes of keys and values."""
COUNTED_SHAPES = {"int8": tuple(SHAPES), "int4": ("64", "288"), "int4 cache": ("64", "96")}
"""The shapes that are counted of each variant: enough to tell its own units of work from the others."""

CASES = (("esp32", 1), ("esp32c3", 1), ("esp32s3", 1), ("pico", 1), ("pico", 2), ("pico2", 1), ("pico2", 2))
"""Boards, and on how many cores they compute."""

Counts = dict[str, float]
"""Instructions by the title of a part."""


@dataclass(frozen=True)
class Counted:
    """The counts of a shape on a board. decode: by position. prefill: of the whole prompt. variant: one of VARIANTS."""

    board: str
    cores: int
    shape: str
    decode: dict[int, Counts]
    prefill: Counts
    variant: str = "int8"


def config_of(shape: str) -> ModelConfig:
    """The dimensions of a shape."""
    dim, hidden_dim, n_heads, n_kv_heads, n_blocks = SHAPES[shape]
    return ModelConfig(
        name=f"shape-{shape}",
        family="llama",
        dim=dim,
        hidden_dim=hidden_dim,
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        head_dim=dim // n_heads,
        vocab_size=512,
        context=CONTEXT,
        schedule=tuple(range(n_blocks)),
        rope=Rope(rotary_dim=dim // n_heads),
    )


def random_model(config: ModelConfig) -> Model:
    """A model with random weights, about as large as those of a story model."""
    random = np.random.default_rng(1)
    dim, hidden_dim, q_dim, kv_dim = config.dim, config.hidden_dim, config.q_dim, config.kv_dim

    def matrix(rows: int, columns: int, spread: float) -> F32:
        return (random.standard_normal((rows, columns)) * spread / np.sqrt(columns)).astype(np.float32)

    def gain(mean: float) -> F32:
        return random.normal(mean, mean / 5, dim).astype(np.float32)

    def block() -> Block:
        return Block(
            attn_norm=gain(0.5),
            wq=matrix(q_dim, dim, SHARPNESS * 1.2),
            wk=matrix(kv_dim, dim, SHARPNESS * 1.6),
            wv=matrix(kv_dim, dim, 0.8),
            wo=matrix(dim, q_dim, 0.8),
            ffn_norm=gain(0.5),
            w_gate=matrix(hidden_dim, dim, 1.1),
            w_up=matrix(hidden_dim, dim, 1.1),
            w_down=matrix(dim, hidden_dim, 1.0),
        )

    embedding, final_norm = matrix(config.vocab_size, dim, 3.7), gain(1.4)
    return Model(config, embedding, [block() for _ in config.schedule], final_norm)


def integers_of(shape: str, variant: str) -> IntegerModel:
    """A shape in one of VARIANTS, as it is built; int4 weights are rounded to the nearest."""
    weights, cache_bits = VARIANTS[variant]
    model = random_model(replace(config_of(shape), key_bits=cache_bits, value_bits=cache_bits))
    int4 = {
        (index, name): round_to_nearest(getattr(block, name))
        for index, block in enumerate(model.blocks)
        for name in (MATRICES if weights == "int4" else ())
    }
    return quantize(model, CONTEXT, int4=int4)


def count(shape: str, variant: str, board: str, cores: int) -> Counted:
    """Build the shape for the virtual board and count. Errors as compile_project and BoardProcess."""
    twin = replace(load_board(board, FOLDER).twin(), cores=cores)
    tokenizer = read_tokenizer(TOKENIZER)
    built = compile_project(emit_project(integers_of(shape, variant), tokenizer, twin))
    with BoardProcess.of(twin, built.program, count=True) as process:
        link = Connection(process).open()
        try:
            assert process.profile is not None
            link.asks_meanwhile = False
            apply_settings(link, wire_settings(GREEDY, seed=1))
            return Counted(board, cores, shape, *_counted(link, process.profile), variant)
        finally:
            link.close()


def has_int4_kernels(board: str) -> bool:
    """Whether the board's kernel set has its own kernel for int4 weights, which is worth counting."""
    kernels = kernel_set_of(load_board(board, FOLDER))
    folders = [FIRMWARE / "engine/kernels" / name for name in (kernels.name, kernels.base) if name]
    return any((folder / "dot_groups_int4.c").exists() for folder in folders)


def _counted(link: Link, profile: Profile) -> tuple[dict[int, Counts], Counts]:
    ids = np.random.default_rng(2).integers(3, 512, CONTEXT)

    def ask(first: int, last: int, tokens: int) -> Counts:
        before = profile.counts()
        collect(link.prompt(tuple(map(int, ids[first:last])), tokens))
        (core, *_) = profile.named(profile.counts() - before)
        return {part.title: float(sum(core.get(part, {}).values())) for part in PARTS}

    decode = {}
    for position in POSITIONS:
        link.reset()
        if position:
            ask(0, position, 0)
        decode[position] = ask(position, position + 1, 1)
    link.reset()
    return decode, ask(0, PREFILL, 0)


def read(path: Path = FILE) -> list[Counted]:
    """The counts of the file."""
    tables: list[dict[str, Any]] = tomllib.loads(read_bytes(path, LARGEST_FILE).decode("utf-8"))["counted"]
    return [
        Counted(**table | {"decode": {int(position): counts for position, counts in table["decode"].items()}})
        for table in tables
    ]


def write(counted: Sequence[Counted], path: Path = FILE) -> None:
    """Write the file, sorted by board, cores and shape."""
    order = list(SHAPES)
    variants = list(VARIANTS)
    rows = sorted(
        counted,
        key=lambda each: (each.board, each.cores, variants.index(each.variant), order.index(each.shape)),
    )
    tables = [
        {
            "board": each.board,
            "cores": each.cores,
            "shape": each.shape,
            "variant": each.variant,
            "decode": {str(position): _whole(counts) for position, counts in each.decode.items()},
            "prefill": _whole(each.prefill),
        }
        for each in rows
    ]
    write_file(path, (HEAD + tomli_w.dumps({"counted": tables})).encode())


def _whole(counts: Counts) -> dict[str, int]:
    return {part: round(number) for part, number in counts.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m tinyllm.host.prove.shapes [BOARD ...]`: all boards if none is named."""
    parser = argparse.ArgumentParser(description="Count what tokens of random models cost virtual boards.")
    known = sorted({board for board, _ in CASES})
    parser.add_argument("boards", nargs="*", metavar="BOARD", choices=[[], *known])
    boards = parser.parse_args(arguments).boards or known
    kept = [each for each in (read() if FILE.exists() else []) if each.board not in boards]
    try:
        for board, cores in CASES:
            for variant, shapes in COUNTED_SHAPES.items() if board in boards else ():
                for shape in shapes if variant != "int4" or has_int4_kernels(board) else ():
                    print(f"{board}, {cores} cores: {variant}, shape {shape}", file=sys.stderr)
                    kept.append(count(shape, variant, board, cores))
    except TinyllmError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    write(kept)
    return 0


if __name__ == "__main__":
    sys.exit(main())
