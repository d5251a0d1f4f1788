"""Random models of several shapes, and what their tokens cost the virtual boards: counted, in benchmarks/shapes.toml.

    python -m tinyllm.host.prove.shapes [BOARD ...]     count again, then fit (`make costs`)

`costs.py` has the figures that are fitted to these counts. Of all weights only the shape matters: instructions hardly
depend on values.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from numpy.typing import NDArray
from safetensors.numpy import save_file

from tinyllm.codegen.arithmetic.float_model import ModelConfig, Rope
from tinyllm.errors import TinyllmError
from tinyllm.files import read_bytes, write_file
from tinyllm.host.connect.attach import BoardRequest, attach
from tinyllm.host.link.answer import collect
from tinyllm.host.link.link import Link
from tinyllm.host.link.settings import apply_settings, wire_settings
from tinyllm.host.model.load import LoadOptions
from tinyllm.host.output import Output
from tinyllm.host.prove.expected_answers import GREEDY
from tinyllm.host.virtual.parts import PARTS
from tinyllm.host.virtual.profile import Profile
from tinyllm.models import bundled

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = Path("benchmarks/shapes.toml")
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

SHAPES = {
    "64": (64, 176, 4, 2, 2),
    "48": (48, 128, 6, 6, 3),
    "96": (96, 96, 3, 3, 2),
    "128": (128, 352, 8, 4, 2),
    "256": (256, 704, 8, 2, 1),
    "288": (288, 768, 6, 6, 1),
}
"""dim, hidden_dim, heads, heads of keys, blocks."""

SHARPNESS = 2.5
"""Of random queries and keys, so that attention looks away from as many positions as a story model's does."""

CASES = (("esp32", 1), ("esp32c3", 1), ("esp32s3", 1), ("pico", 1), ("pico", 2), ("pico2", 1), ("pico2", 2))
"""Boards, and on how many cores they compute."""

Counts = dict[str, float]
"""Instructions by the title of a part."""


@dataclass(frozen=True)
class Counted:
    """A shape on a board. decode: by position. prefill: of the whole prompt."""

    board: str
    cores: int
    shape: str
    decode: dict[int, Counts]
    prefill: Counts


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


def write_model(config: ModelConfig, folder: Path) -> Path:
    """A Hugging Face folder of random weights, with the bundled model's tokenizer of 512 pieces."""
    random = np.random.default_rng(1)
    dim, hidden_dim, q_dim, kv_dim = config.dim, config.hidden_dim, config.q_dim, config.kv_dim

    def matrix(rows: int, columns: int, spread: float) -> NDArray[np.float32]:
        return (random.standard_normal((rows, columns)) * spread / np.sqrt(columns)).astype(np.float32)

    def gain(mean: float) -> NDArray[np.float32]:
        return random.normal(mean, mean / 5, dim).astype(np.float32)

    tensors = {"model.embed_tokens.weight": matrix(config.vocab_size, dim, 3.7), "model.norm.weight": gain(1.4)}
    for block in range(config.n_layers):
        at = f"model.layers.{block}."
        tensors |= {
            f"{at}input_layernorm.weight": gain(0.5),
            f"{at}self_attn.q_proj.weight": matrix(q_dim, dim, SHARPNESS * 1.2),
            f"{at}self_attn.k_proj.weight": matrix(kv_dim, dim, SHARPNESS * 1.6),
            f"{at}self_attn.v_proj.weight": matrix(kv_dim, dim, 0.8),
            f"{at}self_attn.o_proj.weight": matrix(dim, q_dim, 0.8),
            f"{at}post_attention_layernorm.weight": gain(0.5),
            f"{at}mlp.gate_proj.weight": matrix(hidden_dim, dim, 1.1),
            f"{at}mlp.up_proj.weight": matrix(hidden_dim, dim, 1.1),
            f"{at}mlp.down_proj.weight": matrix(dim, hidden_dim, 1.0),
        }
    folder.mkdir(parents=True)
    described = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": config.dim,
        "intermediate_size": config.hidden_dim,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.n_kv_heads,
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.context,
        "rms_norm_eps": config.norm_epsilon,
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    write_file(folder / "config.json", json.dumps(described).encode())
    save_file(tensors, folder / "model.safetensors")
    shutil.copy(next(iter(bundled().values())) / "tokenizer.model", folder)
    return folder


def count(shape: str, board: str, cores: int, folder: Path) -> Counted:
    """Build the shape for the virtual board and count. folder: where its model goes. Errors as attach."""
    model = write_model(config_of(shape), folder)
    request = BoardRequest(str(model), LoadOptions(context=CONTEXT), board, None, True, True, cores=cores)
    with attach(request, Output()) as connection:
        link = connection.open()
        try:
            assert connection.process is not None and connection.process.profile is not None
            link.asks_meanwhile = False
            apply_settings(link, wire_settings(GREEDY, seed=1))
            return Counted(board, cores, shape, *_counted(link, connection.process.profile))
        finally:
            link.close()


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
    rows = sorted(counted, key=lambda each: (each.board, each.cores, order.index(each.shape)))
    tables = [
        {
            "board": each.board,
            "cores": each.cores,
            "shape": each.shape,
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
        with tempfile.TemporaryDirectory() as scratch:
            for board, cores in CASES:
                for shape in SHAPES if board in boards else ():
                    kept.append(count(shape, board, cores, Path(scratch) / f"{board}-{cores}" / f"shape-{shape}"))
    except TinyllmError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    write(kept)
    return 0


if __name__ == "__main__":
    sys.exit(main())
