"""The facts of a checkpoint that its headers tell: config, tensors and unusual features."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from tinyllm.codegen.arithmetic.float_model import ModelConfig

PARTS = {"embedding": "embedding", "head": "head", "final_norm": "norms", "attn_norm": "norms", "ffn_norm": "norms"} | {
    "w_gate": "feed-forward",
    "w_up": "feed-forward",
    "w_down": "feed-forward",
}

BIASES = {
    "bq": ("q_proj.bias", "attn_q.bias"),
    "bk": ("k_proj.bias", "attn_k.bias"),
    "bv": ("v_proj.bias", "attn_v.bias"),
    "bo": ("o_proj.bias", "attn_output.bias"),
}
"""The end of the tensor's name for each bias of a block, in a Hugging Face folder and in GGUF."""


def part_of(field: str) -> str:
    """The part of the model that a field of Model or Block belongs to, in words."""
    return PARTS.get(field, "attention")


class TensorFacts(NamedTuple):
    """A tensor as the file stores it. part: the part of the model that it belongs to, in words."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    n_bytes: int
    part: str


@dataclass(frozen=True)
class CheckpointFacts:
    """The config, the tensors that the model consists of, and its unusual features in words."""

    config: ModelConfig
    tensors: list[TensorFacts]
    features: list[str]

    @property
    def biases(self) -> tuple[str, ...]:
        """The fields of Block that hold a bias."""
        names = [tensor.name for tensor in self.tensors]
        return tuple(field for field, ends in BIASES.items() if any(name.endswith(ends) for name in names))

    @property
    def n_parameters(self) -> int:
        """How many numbers are stored; a tied head counts once."""
        return sum(math.prod(tensor.shape) for tensor in self.tensors)

    def parameters_by_part(self) -> dict[str, int]:
        """How many numbers are stored for the embedding, attention, feed-forward layers, norms and head."""
        counts: dict[str, int] = {}
        for tensor in self.tensors:
            counts[tensor.part] = counts.get(tensor.part, 0) + math.prod(tensor.shape)
        return counts


def common_features(config: ModelConfig) -> list[str]:
    """The unusual features that a config alone shows, in words."""
    features = []
    if config.n_kv_heads < config.n_heads:
        features.append(f"grouped-query attention: {config.n_heads} heads of queries, {config.n_kv_heads} of keys")
    n_blocks = len(set(config.schedule))
    if config.n_layers > n_blocks:
        features.append(f"{n_blocks} stored blocks, each run {config.n_layers // n_blocks} times in a row")
    if config.rope.rotary_dim < config.head_dim:
        features.append(f"partial rotary embedding: {config.rope.rotary_dim} of {config.head_dim} elements of a head")
    for window in sorted({window for window in config.windows if window is not None}):
        n_passes = config.windows.count(window)
        layers = "every layer" if n_passes == config.n_layers else f"{n_passes} of {config.n_layers} layers"
        features.append(f"sliding window of {window} positions on {layers}")
    features.append("the embedding is the head too" if config.tied_head else "a head of its own")
    return features
