"""The one float form of a decoder-only transformer, whatever file it came from.

Readers produce a `Model`; everything downstream (float path, quantiser, inspect) consumes only this.
Shapes are (rows, columns) = (outputs, inputs), so a layer computes `W @ x`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
RopePairing = Literal["interleaved", "half"]

N_SINKS = 4
"""Attention sinks unless a person asks for another number (Xiao et al., arXiv 2309.17453, find four enough)."""
SMALLEST_CONTEXT, LARGEST_CONTEXT = 8, 65536
"""Positions of the KV cache that the arithmetic allows."""
SMALLEST_SLIDING = 4
"""Fewest slots of the KV cache that are not for sinks."""


@dataclass(frozen=True)
class Rope:
    """Rotary position embedding (Su et al., arXiv 2104.09864).

    base: the theta of `theta ** (-2 i / rotary_dim)`.
    pairing: which elements of a head rotate together: (2i, 2i+1) "interleaved" as llama2.c,
        or (i, i + rotary_dim/2) "half" as Hugging Face.
    rotary_dim: how many leading elements of a head rotate (even); the rest pass through.
    factors: float64 (rotary_dim/2,), each frequency is divided by its factor; None means all ones.
    attention_scaling: multiplies q and k after rotation (longrope); 1.0 otherwise.
    """

    base: float = 10000.0
    pairing: RopePairing = "half"
    rotary_dim: int = 0
    factors: tuple[float, ...] | None = None
    attention_scaling: float = 1.0

    def frequencies(self) -> NDArray[np.float64]:
        """Radians per position, float64 (rotary_dim/2,)."""
        exponents = np.arange(0, self.rotary_dim, 2, dtype=np.float64) / self.rotary_dim
        frequencies: NDArray[np.float64] = self.base**-exponents
        if self.factors is not None:
            frequencies = frequencies / np.asarray(self.factors, dtype=np.float64)
        return frequencies


@dataclass(frozen=True)
class ModelConfig:
    """Dimensions and switches of a Llama-family model.

    schedule: for every pass through a block, in order, the index of the stored block it uses;
        (0, 0, 1, 1) is two stored blocks each run twice in a row, each pass with its own KV cache.
    windows: for every pass, how many positions a token attends to, its own included; None means all of them.
        Empty if every pass attends to all.
    cache_window: how many positions the KV cache holds, the sinks included; None means the whole context. A pass with a
        shorter window holds fewer.
    sinks: tokens at the start of a conversation that stay in the KV cache when it is full and the others slide.
    key_bits, value_bits: bits of a code of the keys and of the values in the KV cache, 8 or 4.
    prefix: tokens that every conversation on a board begins with; their KV cache is computed when the C is emitted.
    system: the system message, if the prefix is the beginning of the chat template with that message.
    actions: the text of the catalogue of calls that the model may make (actions.toml), None for none.
    """

    name: str
    family: str
    dim: int
    hidden_dim: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    vocab_size: int
    context: int
    schedule: tuple[int, ...]
    rope: Rope
    norm_epsilon: float = 1e-5
    tied_head: bool = True
    chat_template: str | None = None
    windows: tuple[int | None, ...] = ()
    cache_window: int | None = None
    sinks: int = N_SINKS
    key_bits: int = 8
    value_bits: int = 8
    prefix: tuple[int, ...] = ()
    system: str | None = None
    actions: str | None = None

    @property
    def n_layers(self) -> int:
        """Passes through a block, each with its own KV cache."""
        return len(self.schedule)

    @property
    def q_dim(self) -> int:
        return self.n_heads * self.head_dim

    @property
    def kv_dim(self) -> int:
        return self.n_kv_heads * self.head_dim

    @property
    def key_bytes(self) -> int:
        """Bytes of the codes of one head's key in the KV cache."""
        return -(-self.head_dim * self.key_bits // 8)

    @property
    def value_bytes(self) -> int:
        """Bytes of the codes of one head's value in the KV cache."""
        return -(-self.head_dim * self.value_bits // 8)

    @property
    def full_slots(self) -> int:
        """Positions that the KV cache of a pass without a shorter window holds, the sinks included."""
        return self.context if self.cache_window is None else min(self.cache_window, self.context)

    @property
    def slots(self) -> tuple[int, ...]:
        """Positions that the KV cache of each pass holds: its window or full_slots, whichever is less."""
        windows = self.windows or (None,) * self.n_layers
        return tuple(self.full_slots if window is None else min(window, self.full_slots) for window in windows)

    def sinks_of(self, layer: int) -> int:
        """The sinks of a pass: none if it has a window shorter than full_slots."""
        return self.sinks if self.slots[layer] == self.full_slots else 0

    @property
    def smallest_context(self) -> int:
        """Fewest positions of the KV cache that hold the sinks and SMALLEST_SLIDING more."""
        return max(SMALLEST_CONTEXT, self.sinks + SMALLEST_SLIDING)


@dataclass
class Block:
    """Weights of one stored block, float32.

    attn_norm, ffn_norm (dim,); wq (q_dim, dim); wk, wv (kv_dim, dim); wo (dim, q_dim);
    w_gate, w_up (hidden_dim, dim); w_down (dim, hidden_dim); biases (rows,) or None.
    """

    attn_norm: F32
    wq: F32
    wk: F32
    wv: F32
    wo: F32
    ffn_norm: F32
    w_gate: F32
    w_up: F32
    w_down: F32
    bq: F32 | None = None
    bk: F32 | None = None
    bv: F32 | None = None
    bo: F32 | None = None


@dataclass
class Model:
    """A checkpoint in memory.

    embedding (vocab_size, dim), blocks, final_norm (dim,), head (vocab_size, dim) or None if tied.
    """

    config: ModelConfig
    embedding: F32
    blocks: list[Block] = field(default_factory=list)
    final_norm: F32 = field(default_factory=lambda: np.zeros(0, np.float32))
    head: F32 | None = None

    @property
    def output_head(self) -> F32:
        """The matrix that gives logits: the embedding itself when the head is tied."""
        return self.embedding if self.head is None else self.head

    def n_parameters(self) -> int:
        """Stored numbers, a tied head counted once."""
        tensors = [self.embedding, self.final_norm] + ([] if self.head is None else [self.head])
        for block in self.blocks:
            tensors += [tensor for tensor in vars(block).values() if tensor is not None]
        return sum(int(tensor.size) for tensor in tensors)
