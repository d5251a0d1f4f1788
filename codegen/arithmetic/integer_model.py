"""The integer form of a model: what the kernels compute with and the emitter writes down.

Produced by quantize.py, run by integer_forward.py, written as C by emit/. RoPE is always the "half" pairing here: the
quantiser reorders the rows of Q and K, which changes no score.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from tinyllm.codegen.arithmetic.float_model import N_SINKS, ModelConfig

MAX_K_SHIFT = 4
"""Largest channel shift of a key; the query's channel is shifted by MAX_K_SHIFT minus the key's shift."""


COLUMNS_OF_A_SCALE = 32
"""int4 codes of a row that share a scale; the last group of a row may be shorter."""

MOST_CODE = 127
"""Magnitude of an int8 code."""


def scale_groups(columns: int) -> int:
    """Groups of columns that share a scale."""
    return -(-columns // COLUMNS_OF_A_SCALE)


@dataclass(frozen=True)
class IntegerMatrix:
    """W (rows, columns): value = integers()[r, c] * mantissa[r] * 2**exponent.

    codes: (rows, columns), int8 within +-127, or within -8..7 if there are group scales. mantissa: uint16 (rows,), at
    least 1. exponent: of the whole matrix. group_scales: None, or for int4 uint8 (rows, groups of 32 columns), at
    least 1, which multiply the codes of their group.
    """

    codes: NDArray[np.int8]
    mantissa: NDArray[np.uint16]
    exponent: int
    group_scales: NDArray[np.uint8] | None = None

    @property
    def bits(self) -> int:
        """Bits of a code, 8 or 4."""
        return 8 if self.group_scales is None else 4

    def integers(self, rows: NDArray[np.int64] | slice = slice(None)) -> NDArray[np.int16]:
        """The integers of a dot product: the codes of these rows times their groups' scales, int16 (rows, columns)."""
        codes = self.codes[rows].astype(np.int16)
        if self.group_scales is None:
            return codes
        return codes * np.repeat(self.group_scales[rows], COLUMNS_OF_A_SCALE, axis=1)[:, : self.columns]

    def largest_sum(self) -> int:
        """An upper bound of the magnitude of a dot product with int8 codes."""
        sums = np.abs(self.integers()).sum(axis=1, dtype=np.int64)
        return MOST_CODE * int(sums.max(initial=0))

    @property
    def rows(self) -> int:
        return int(self.codes.shape[0])

    @property
    def columns(self) -> int:
        return int(self.codes.shape[1])

    def dequantized(self) -> NDArray[np.float64]:
        """The weights that the codes stand for, float64 (rows, columns)."""
        return self.integers() * (self.mantissa * 2.0**self.exponent)[:, None]


@dataclass(frozen=True)
class IntegerGain:
    """RMSNorm gain: real gain * sqrt(n) = codes * 2**exponent, codes int16 (n,)."""

    codes: NDArray[np.int16]
    exponent: int


@dataclass(frozen=True)
class IntegerBlock:
    """One stored block; names and shapes as in float_model.Block, biases int32 Q16.16 (rows,)."""

    attn_norm: IntegerGain
    wq: IntegerMatrix
    wk: IntegerMatrix
    wv: IntegerMatrix
    wo: IntegerMatrix
    ffn_norm: IntegerGain
    w_gate: IntegerMatrix
    w_up: IntegerMatrix
    w_down: IntegerMatrix
    bq: NDArray[np.int32] | None = None
    bk: NDArray[np.int32] | None = None
    bv: NDArray[np.int32] | None = None
    bo: NDArray[np.int32] | None = None


@dataclass(frozen=True)
class IntegerModel:
    """Everything the forward pass needs, integers only.

    config: dimensions; the KV cache is sized for its context.
    head: None when the embedding serves as head too.
    rope_steps: uint32 (rotary_dim/2,), turns per position in units of 2**-32.
    k_shift: uint8 (n_layers, n_kv_heads, head_dim), right shift of each channel of a rotated key, at most MAX_K_SHIFT;
        a query's channel is shifted right by MAX_K_SHIFT minus that (see key_shifts.py).
    score_mantissa, score_exponent: the scale of a score. It is log2(e) / sqrt(head_dim) times the square of RoPE's
        attention scaling, times 2**-16 (a product of two Q16.16 numbers has 32 fraction bits), times 2**MAX_K_SHIFT.
    epsilon: dim * norm epsilon in units of 2**-32.
    """

    config: ModelConfig
    embedding: IntegerMatrix
    blocks: tuple[IntegerBlock, ...]
    final_norm: IntegerGain
    head: IntegerMatrix | None
    rope_steps: NDArray[np.uint32]
    k_shift: NDArray[np.uint8]
    score_mantissa: int
    score_exponent: int
    epsilon: int

    @property
    def output_head(self) -> IntegerMatrix:
        """The matrix that gives logits."""
        return self.embedding if self.head is None else self.head

    def __post_init__(self) -> None:
        """Raise ValueError unless matrices that multiply one input have one width: the input is expanded once."""
        for block in self.blocks:
            for matrices in ((block.wq, block.wk, block.wv), (block.w_gate, block.w_up)):
                if len({matrix.bits for matrix in matrices}) > 1:
                    raise ValueError("wq, wk and wv have one width, and so have w_gate and w_up")

    @property
    def different_blocks(self) -> list[tuple[IntegerBlock, int]]:
        """The stored blocks that are different objects, each with how often it occurs: an outline repeats a few."""
        times = Counter(map(id, self.blocks))
        return [(block, times[key]) for key, block in {id(block): block for block in self.blocks}.items()]

    @property
    def has_int4(self) -> bool:
        """Whether any matrix is int4."""
        return any(isinstance(part, IntegerMatrix) and part.bits == 4 for part in self._parts())

    @property
    def weights(self) -> str:
        """The format of the blocks' matrices: "int8", "int4", or "mixed" if there are both."""
        bits = {part.bits for block in self.blocks for part in vars(block).values() if isinstance(part, IntegerMatrix)}
        return "mixed" if len(bits) > 1 else f"int{bits.pop()}"

    def _parts(self) -> Iterator[object]:
        yield from (self.embedding, self.head)
        for block, _ in self.different_blocks:
            yield from vars(block).values()

    @property
    def attention_weight_bits(self) -> int:
        """Bits of an attention weight: 15 up to 512 positions, one fewer per doubling, so a weighted sum fits int32."""
        return 15 - max(0, (max(self.config.slots) - 1).bit_length() - 9)

    def tensors(self) -> Iterator[tuple[str, NDArray[np.generic]]]:
        """Every stored array with its name, in a fixed order."""

        def parts(name: str, value: object) -> Iterator[tuple[str, NDArray[np.generic]]]:
            if isinstance(value, IntegerMatrix):
                yield name, value.codes
                yield f"{name}.mantissa", value.mantissa
                if value.group_scales is not None:
                    yield f"{name}.group_scales", value.group_scales
            elif isinstance(value, IntegerGain):
                yield name, value.codes
            elif isinstance(value, np.ndarray):
                yield name, value

        yield from parts("embedding", self.embedding)
        for index, block in enumerate(self.blocks):
            for item in fields(block):
                yield from parts(f"blocks.{index}.{item.name}", getattr(block, item.name))
        yield from parts("final_norm", self.final_norm)
        yield from parts("head", self.head)
        yield from parts("rope_steps", self.rope_steps)
        yield from parts("k_shift", self.k_shift)

    def digest(self) -> bytes:
        """SHA-256 over dimensions, exponents, tensors and prefix: two models with one digest give the same tokens."""
        config = self.config
        exponents = [self.embedding.exponent, self.final_norm.exponent, self.output_head.exponent]
        for block in self.blocks:
            parts = (getattr(block, item.name) for item in fields(block))
            exponents += [part.exponent for part in parts if isinstance(part, IntegerMatrix | IntegerGain)]
        facts: list[int | str] = [
            config.dim, config.hidden_dim, config.n_heads, config.n_kv_heads, config.head_dim, config.vocab_size,
            config.context, *config.schedule, config.rope.rotary_dim, self.score_mantissa, self.score_exponent,
            self.epsilon, int(self.head is None), *exponents,
        ]  # fmt: skip
        if min(config.slots) < config.context:
            facts.extend(config.slots)
        if config.full_slots < config.context:
            facts += ["window", config.full_slots]
        if config.sinks != N_SINKS:
            facts += ["sinks", config.sinks]
        if (config.key_bits, config.value_bits) != (8, 8):
            facts += ["cache", config.key_bits, config.value_bits]
        if config.prefix:
            facts += ["prefix", *config.prefix]
        hasher = hashlib.sha256(repr(facts).encode())
        for name, tensor in self.tensors():
            hasher.update(f"{name}{tensor.shape}".encode())
            hasher.update(np.ascontiguousarray(tensor, dtype=tensor.dtype.newbyteorder("<")).tobytes())
        return hasher.digest()

    def short_digest(self) -> str:
        """The digest's first 8 bytes in hexadecimal: the model_hash that a board reports."""
        return self.digest()[:8].hex()
