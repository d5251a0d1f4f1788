"""The three checkpoint formats of llama2.c, as export.py of github.com/karpathy/llama2.c writes them.

All numbers are little-endian. Each header has the same seven int32: dim, hidden_dim, n_layers, n_heads, n_kv_heads,
vocab_size, context.

legacy  28-byte header, the seven numbers; a negative vocab_size says that a separate head follows. Then fp32:
        embedding, attn_norm*, wq*, wk*, wv*, wo*, ffn_norm*, w_gate*, w_down*, w_up*, final_norm, two tables
        (context, head_dim/2) of rotary cosines and sines, [head].
v1      256-byte header: magic 0x616b3432, version 1, the seven, a byte that is 1 for a tied head, zeros. Then fp32:
        attn_norm*, ffn_norm*, final_norm, embedding, wq*, wk*, wv*, wo*, w_gate*, w_down*, w_up*, [head].
v2      as v1 with version 2 and, after the byte, an int32 group size. The norms are fp32; every other tensor is Q8_0:
        its int8 values, then one fp32 scale for each group of consecutive values (row by row).

(* = once for each layer, all layers of one kind together; w1, w2, w3 of llama2.c are w_gate, w_down, w_up.)

llama2.c's own programs now compute the rotary angles with base 10000 and ignore the tables of a legacy file. So they
run a model that was trained with another base (Code Llama has 1000000) wrongly. This reader takes the base from the
tables. Versions 1 and 2 store no base, so it is an option.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyllm.codegen.arithmetic.float_model import F32, Block, Model, ModelConfig, Rope
from tinyllm.codegen.checkpoints.checks import (
    require_consistent,
    require_dimension,
    require_even_split,
    require_finite,
)
from tinyllm.codegen.checkpoints.facts import CheckpointFacts, TensorFacts, common_features, part_of
from tinyllm.codegen.checkpoints.rope_tables import USUAL_BASE, rope_of_tables
from tinyllm.errors import UserError
from tinyllm.files import file_size
from tinyllm.text import harmless_name

MAGIC = 0x616B3432
LEGACY_HEADER_SIZE = 28
VERSIONED_HEADER_SIZE = 256
FIELDS = ("dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "context")

NORMS = ("attn_norm", "ffn_norm")
MATRICES = ("wq", "wk", "wv", "wo", "w_gate", "w_down", "w_up")
ROTARY_TABLES = "rotary_tables"
LEAST_BASE, LARGEST_BASE = 1.0, 1e12
LEGACY_BLOCK_ORDER = ("attn_norm", "wq", "wk", "wv", "wo", "ffn_norm", "w_gate", "w_down", "w_up")


@dataclass(frozen=True)
class Header:
    """version: 0 for a legacy file. size: bytes before the first tensor. group_size: values per scale, 0 for fp32."""

    version: int
    size: int
    config: ModelConfig
    group_size: int = 0


@dataclass(frozen=True)
class Entry:
    """One tensor of the file. block: None for a tensor outside the blocks. group_size: 0 for fp32."""

    field: str
    block: int | None
    shape: tuple[int, ...]
    group_size: int = 0

    @property
    def name(self) -> str:
        return self.field if self.block is None else f"blocks[{self.block}].{self.field}"

    @property
    def n_values(self) -> int:
        return math.prod(self.shape)

    @property
    def n_bytes(self) -> int:
        if self.group_size:
            return self.n_values + 4 * (self.n_values // self.group_size)
        return 4 * self.n_values


def read_llama2c(path: Path, *, rope_base: float | None = None) -> Model:
    """The checkpoint at `path`, in any of the three formats, with every weight as float32.

    rope_base: the base of a version 1 or 2 file; None means 10000.

    The file's size is checked against its header before any weight is read. Raises UserError for a file that is
    missing, truncated or over-long, for a header of another format, with absurd or contradictory values, for tables
    that describe no rotary embedding, for a base that a legacy file does not need or that is absurd, and for weights
    that are not finite.
    """
    header, entries = _open(path, rope_base)
    data = np.memmap(path, np.uint8, "r")
    model = Model(header.config, np.zeros(0, np.float32))
    stored: list[dict[str, F32]] = [{} for _ in header.config.schedule]
    for offset, entry in entries:
        if entry.field == ROTARY_TABLES:
            continue
        tensor = _decode(path, entry, data[offset : offset + entry.n_bytes])
        if entry.block is None:
            setattr(model, entry.field, tensor)
        else:
            stored[entry.block][entry.field] = tensor
    model.blocks = [Block(**tensors) for tensors in stored]
    return model


def inspect_llama2c(path: Path, *, rope_base: float | None = None) -> CheckpointFacts:
    """The facts of the checkpoint, from its header and rotary tables; arguments and errors as in read_llama2c."""
    header, entries = _open(path, rope_base)
    tensors = [
        TensorFacts(entry.name, entry.shape, "Q8_0" if entry.group_size else "F32", entry.n_bytes, part_of(entry.field))
        for _, entry in entries
        if entry.field != ROTARY_TABLES
    ]
    names = {0: "legacy", 1: "version 1", 2: f"version 2, groups of {header.group_size}"}
    features = [*common_features(header.config), f"llama2.c format: {names[header.version]}"]
    if header.config.rope.factors is not None:
        features.append("rotary frequencies as the file's own tables have them: no one base gives them")
    return CheckpointFacts(header.config, tensors, features)


def _open(path: Path, rope_base: float | None) -> tuple[Header, list[tuple[int, Entry]]]:
    """The header, and each tensor with its offset; the file's length is checked. Errors as in read_llama2c."""
    size = file_size(path)
    header = _read_header(path, size)
    config = header.config
    entries, end = [], header.size
    for entry in layout(header):
        entries.append((end, entry))
        end += entry.n_bytes
    if size != end:
        raise UserError(
            f"{path} is {'truncated' if size < end else 'over-long'}: its header (dim {config.dim},"
            f" {config.n_layers} layers, vocabulary {config.vocab_size}) asks for {end:,} bytes,"
            f" the file has {size:,}; download or export it again"
        )
    if header.version == 0:
        if rope_base is not None:
            raise UserError(
                f"{path}: --rope-base is for llama2.c files of version 1 and 2; this one has rotary tables of its own:"
                " leave it out"
            )
        offset, entry = next(placed for placed in entries if placed[1].field == ROTARY_TABLES)
        cosines, sines = np.memmap(path, "<f4", "r", offset, entry.shape)
        rope = rope_of_tables(path, cosines, sines)
    elif rope_base is None:
        rope = config.rope
    elif LEAST_BASE <= rope_base <= LARGEST_BASE:
        rope = replace(config.rope, base=float(rope_base))
    else:
        raise UserError(f"--rope-base {rope_base:g}: expected {LEAST_BASE:g} to {LARGEST_BASE:g}")
    return replace(header, config=replace(config, rope=rope)), entries


def _read_header(path: Path, size: int) -> Header:
    """The checked header of a file of `size` bytes.

    Raises UserError if it is too short, of another format or contradictory.
    """
    with path.open("rb") as file:
        raw = file.read(VERSIONED_HEADER_SIZE)
    versioned = raw[:4] == struct.pack("<I", MAGIC)
    header_size = VERSIONED_HEADER_SIZE if versioned else LEGACY_HEADER_SIZE
    if len(raw) < header_size:
        raise UserError(
            f"{path} is truncated: it has {size:,} bytes, expected at least the {header_size} of a llama2.c header;"
            " download or export it again"
        )
    if not versioned:
        numbers = dict(zip(FIELDS, struct.unpack_from("<7i", raw), strict=True))
        if not 1 <= numbers["dim"] <= 1 << 16:
            raise UserError(
                f"{path} is not a llama2.c checkpoint: it starts with {raw[:4]!r},"
                f" expected the magic {struct.pack('<I', MAGIC)!r} or a small dim; give a llama2.c .bin file"
                " or a Hugging Face folder"
            )
        tied_head = numbers["vocab_size"] > 0
        numbers["vocab_size"] = abs(numbers["vocab_size"])
        return Header(0, header_size, _config(path, numbers, tied_head))

    version, *values = struct.unpack_from("<8i", raw, 4)
    tied_byte, group_size = struct.unpack_from("<Bi", raw, 36)
    if version not in (1, 2):
        raise UserError(
            f"{path}: llama2.c format version {version}, expected 1 or 2; export it again with one of these"
        )
    if tied_byte not in (0, 1):
        raise UserError(f"{path}: the shared-classifier byte is {tied_byte}, expected 0 or 1; export it again")
    config = _config(path, dict(zip(FIELDS, values, strict=True)), tied_head=tied_byte == 1)
    if version == 1:
        return Header(1, header_size, config)
    if group_size < 1:
        raise UserError(f"{path}: group size {group_size}, expected 1 or more; export it again")
    header = Header(2, header_size, config, group_size)
    for entry in layout(header):
        if entry.group_size:
            require_even_split(path, f"size of {entry.name}", entry.n_values, "group size", group_size)
    return header


def _config(path: Path, numbers: dict[str, int], tied_head: bool) -> ModelConfig:
    for name, value in numbers.items():
        require_dimension(path, f"header field {name}", value, name)
    head_dim = require_even_split(path, "dim", numbers["dim"], "n_heads", numbers["n_heads"])
    config = ModelConfig(
        name=harmless_name(path.stem),
        family="llama",
        dim=numbers["dim"],
        hidden_dim=numbers["hidden_dim"],
        n_heads=numbers["n_heads"],
        n_kv_heads=numbers["n_kv_heads"],
        head_dim=head_dim,
        vocab_size=numbers["vocab_size"],
        context=numbers["context"],
        schedule=tuple(range(numbers["n_layers"])),
        rope=Rope(base=USUAL_BASE, pairing="interleaved", rotary_dim=head_dim),
        norm_epsilon=1e-5,
        tied_head=tied_head,
    )
    return require_consistent(path, config)


def layout(header: Header) -> Iterator[Entry]:
    """Every tensor of the file, in the order in which they are stored."""
    config = header.config
    shapes: dict[str, tuple[int, ...]] = {
        "embedding": (config.vocab_size, config.dim),
        "final_norm": (config.dim,),
        "head": (config.vocab_size, config.dim),
        "attn_norm": (config.dim,),
        "wq": (config.q_dim, config.dim),
        "wk": (config.kv_dim, config.dim),
        "wv": (config.kv_dim, config.dim),
        "wo": (config.dim, config.q_dim),
        "ffn_norm": (config.dim,),
        "w_gate": (config.hidden_dim, config.dim),
        "w_down": (config.dim, config.hidden_dim),
        "w_up": (config.hidden_dim, config.dim),
    }

    def single(field: str, group_size: int = 0) -> Entry:
        return Entry(field, None, shapes[field], group_size)

    def for_each_block(fields: tuple[str, ...], group_size: int = 0) -> Iterator[Entry]:
        for field in fields:
            for block in range(config.n_layers):
                yield Entry(field, block, shapes[field], group_size)

    if header.version == 0:
        yield single("embedding")
        yield from for_each_block(LEGACY_BLOCK_ORDER)
        yield single("final_norm")
        yield Entry(ROTARY_TABLES, None, (2, config.context, config.head_dim // 2))
    else:
        yield from for_each_block(NORMS)
        yield single("final_norm")
        yield single("embedding", header.group_size)
        yield from for_each_block(MATRICES, header.group_size)
    if not config.tied_head:
        yield single("head", header.group_size)


def _decode(path: Path, entry: Entry, raw: NDArray[np.uint8]) -> F32:
    """The tensor as float32 of entry.shape. A Q8_0 value becomes value * scale, rounded once to float32."""
    if not entry.group_size:
        tensor = np.array(_view(raw, "<f4"), dtype=np.float32).reshape(entry.shape)
        require_finite(path, entry.name, tensor)
        return tensor
    scales = np.array(_view(raw[entry.n_values :], "<f4"), dtype=np.float32)
    require_finite(path, f"{entry.name} (scales)", scales)
    if (scales < 0).any():
        raise UserError(
            f"{path}: tensor {entry.name} has a negative scale, expected none;"
            " the file is damaged or was written by an early export.py: export it again with a current one"
        )
    groups = _view(raw[: entry.n_values], "i1").reshape(-1, entry.group_size).astype(np.float32)
    with np.errstate(over="ignore"):
        groups *= scales[:, None]
    tensor = groups.reshape(entry.shape)
    require_finite(path, entry.name, tensor)
    return tensor


def _view(raw: NDArray[np.uint8], dtype: str) -> NDArray[Any]:
    return np.frombuffer(raw, dtype=dtype)
