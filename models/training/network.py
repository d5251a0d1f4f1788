"""The forward pass in PyTorch of every model that the readers read. Tensors have the names of Hugging Face checkpoints.

It computes the same as codegen/arithmetic/float_forward.py, with gradients; tests/unit/training compares the two. At
this size, many small operations cost the time. So a block multiplies its matrices for the same input at once, and
rotates queries and keys together.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from tinyllm.codegen.arithmetic.float_model import Model, ModelConfig, Rope
from tinyllm.codegen.checkpoints.huggingface.families import BIAS_TENSORS, BLOCK_TENSORS
from tinyllm.models.training.shape import Shape

Weights = dict[str, Tensor]

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
IN_PROJECTIONS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
OUT_PROJECTIONS = ("o_proj.weight", "down_proj.weight")


def initial_weights(shape: Shape) -> Weights:
    """Random float32 weights: norms are one, projections into the residual stream zero, all others normal.

    Random numbers come from torch's own generator.
    """
    weights: Weights = {}
    for name, size in shape.tensors().items():
        if len(size) == 1:
            weights[name] = torch.ones(size)
        elif name.endswith(OUT_PROJECTIONS):
            weights[name] = torch.zeros(size)
        else:
            weights[name] = torch.randn(size) * (0.05 if name in (EMBEDDING, HEAD) else 0.6 * size[1] ** -0.5)
    return weights


def weights_of(model: Model) -> Weights:
    """The float32 weights of a model that a reader has read."""
    tensors = {EMBEDDING: model.embedding, "model.norm.weight": model.final_norm}
    if model.head is not None:
        tensors[HEAD] = model.head
    for index, block in enumerate(model.blocks):
        names = {name: fields[0] for name, fields in BLOCK_TENSORS.items()}
        names |= {name: bias for bias, name in BIAS_TENSORS.items() if getattr(block, bias) is not None}
        tensors |= {f"model.layers.{index}.{name}": getattr(block, field) for name, field in names.items()}
    return {name: torch.tensor(tensor) for name, tensor in tensors.items()}


def is_matrix(name: str, tensor: Tensor) -> bool:
    """Whether a weight is a matrix of a block."""
    return tensor.ndim == 2 and name not in (EMBEDDING, HEAD)


@lru_cache(maxsize=16)
def _turns(rope: Rope, head_dim: int, time: int, device: str) -> tuple[Tensor, Tensor]:
    """Cosines and signed sines (time, head_dim). RoPE is a head times the cosines plus its partners times the sines."""
    angles = torch.outer(torch.arange(time).double(), torch.from_numpy(rope.frequencies()))
    cosine, sine = angles.cos() * rope.attention_scaling, angles.sin() * rope.attention_scaling
    if rope.pairing == "half":
        cosine, sine = torch.cat((cosine, cosine), -1), torch.cat((-sine, sine), -1)
    else:
        cosine, sine = cosine.repeat_interleave(2, -1), torch.stack((-sine, sine), -1).flatten(-2)
    rest = head_dim - rope.rotary_dim
    cosine, sine = functional.pad(cosine, (0, rest), value=1.0), functional.pad(sine, (0, rest))
    return cosine.float().to(device), sine.float().to(device)


def _rotated(heads: Tensor, rope: Rope, cache: KVCache | None) -> Tensor:
    """RoPE (arXiv 2104.09864) of heads (batch, heads, time, head_dim), at the places after those in the cache."""
    head_dim, start, time = heads.shape[-1], 0 if cache is None else cache.length, heads.shape[-2]
    turns = _turns(rope, head_dim, time if cache is None else cache.keys.shape[-2], str(heads.device))
    cosine, sine = (each[start : start + time] for each in turns)
    if rope.pairing == "half" and rope.rotary_dim == head_dim:
        partners = heads.roll(head_dim // 2, -1)
    elif rope.pairing == "half":
        first, second, rest = heads.split((rope.rotary_dim // 2, rope.rotary_dim // 2, head_dim - rope.rotary_dim), -1)
        partners = torch.cat((second, first, rest), -1)
    else:
        partners = heads.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)
    return torch.addcmul(heads * cosine, partners, sine)


def mask_of(documents: Tensor | None, time: int, window: int | None, device: torch.device) -> Tensor | None:
    """The mask that is added to scores: 0 or -inf, (rows, 1, time, time). None if each token sees all before it.

    documents: int64 (rows, time); a token sees only tokens of its own document. window: a token sees at most so many.
    """
    if documents is None and (window is None or window >= time):
        return None
    place = torch.arange(time, device=device)
    distance = place[:, None] - place
    seen = (distance >= 0) & (distance < (time if window is None else window))
    seen = seen[None, None]
    if documents is not None:
        seen = seen & (documents[:, None, :, None] == documents[:, None, None, :])
    return torch.zeros(seen.shape, device=device).masked_fill_(~seen, float("-inf"))


@dataclass
class KVCache:
    """The KV cache. keys, values: float32 (layers, rows, n_kv_heads, context, head_dim). length: tokens in it."""

    keys: Tensor
    values: Tensor
    length: int = 0

    @classmethod
    def of(cls, config: ModelConfig, rows: int) -> KVCache:
        """An empty cache with room for a whole context."""
        shape = (len(config.schedule), rows, config.n_kv_heads, config.context, config.head_dim)
        return cls(torch.zeros(shape), torch.zeros(shape))

    def keep(self, rows: Tensor) -> None:
        """Keep only the rows for which `rows`, bool (rows,), is true."""
        self.keys, self.values = self.keys[:, rows], self.values[:, rows]

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, window: int | None) -> Tensor:
        """Attention of one more token to itself and those before. All tensors are (rows, heads, 1, head_dim)."""
        end = self.length + 1
        self.keys[layer, :, :, self.length], self.values[layer, :, :, self.length] = key[:, :, 0], value[:, :, 0]
        seen = slice(0 if window is None else max(0, end - window), end)
        grouped = query.unflatten(1, (key.shape[1], -1))[:, :, :, 0]
        # For one token this is quicker than torch's own attention.
        scores = (grouped * query.shape[-1] ** -0.5) @ self.keys[layer, :, :, seen].transpose(-1, -2)
        mixed = scores.softmax(-1) @ self.values[layer, :, :, seen]
        return mixed.flatten(1, 2)[:, :, None]


def hidden(
    weights: Weights,
    config: ModelConfig,
    tokens: Tensor,
    documents: Tensor | None = None,
    dropout: float = 0.0,
    cache: KVCache | None = None,
) -> Tensor:
    """The final hidden states float32 (rows, time, dim) of tokens int64 (rows, time). The head makes logits of them.

    documents: int64 (rows, time), the number of each token's conversation in its row; a token sees no other. dropout:
    the probability with which a number is left out of what a sublayer adds to the residual stream. cache: the tokens
    before; there is then one token a row, which is added to the cache.
    """
    rows, time = tokens.shape
    sizes = (config.n_heads, config.n_kv_heads, config.n_kv_heads)
    grouped = config.n_heads != config.n_kv_heads
    masks: dict[int | None, Tensor | None] = {}

    def project(x: Tensor, names: tuple[str, ...]) -> Tensor:
        biases = [weights.get(f"{name}.bias") for name in names]
        matrix = (
            torch.cat([weights[f"{name}.weight"] for name in names])
            if len(names) > 1
            else weights[f"{names[0]}.weight"]
        )
        known = [bias for bias in biases if bias is not None]
        return functional.linear(x, matrix, torch.cat(known) if known else None)

    def norm(x: Tensor, name: str) -> Tensor:
        return functional.rms_norm(x, (config.dim,), weights[f"{name}.weight"], config.norm_epsilon)

    residual = functional.embedding(tokens, weights[EMBEDDING])
    for layer, stored in enumerate(config.schedule):
        block = f"model.layers.{stored}"
        window = config.windows[layer] if config.windows else None
        if window not in masks:
            masks[window] = mask_of(documents, time, window, tokens.device)
        x = norm(residual, f"{block}.input_layernorm")
        heads = project(x, tuple(f"{block}.{name}" for name in IN_PROJECTIONS))
        heads = heads.view(rows, time, -1, config.head_dim).transpose(1, 2)
        turned = _rotated(heads[:, : config.n_heads + config.n_kv_heads], config.rope, cache)
        query, key = turned.split(sizes[:2], dim=1)
        value = heads[:, -config.n_kv_heads :]
        if cache:
            mixed = cache.attend(layer, query, key, value, window)
        else:
            mixed = functional.scaled_dot_product_attention(
                query, key, value, attn_mask=masks[window], is_causal=masks[window] is None, enable_gqa=grouped
            )
        mixed = project(mixed.transpose(1, 2).reshape(rows, time, -1), (f"{block}.self_attn.o_proj",))
        residual = residual + functional.dropout(mixed, dropout)
        x = norm(residual, f"{block}.post_attention_layernorm")
        if f"{block}.mlp.up_proj.weight" in weights:
            gate, up = project(x, (f"{block}.mlp.gate_proj", f"{block}.mlp.up_proj")).chunk(2, dim=-1)
            inner = functional.silu(gate) * up
        else:
            inner = functional.silu(project(x, (f"{block}.mlp.gate_proj",)))
        residual = residual + functional.dropout(project(inner, (f"{block}.mlp.down_proj",)), dropout)
    if cache:
        cache.length += 1
    return norm(residual, "model.norm")


def logits(
    weights: Weights, config: ModelConfig, tokens: Tensor, documents: Tensor | None = None, dropout: float = 0.0
) -> Tensor:
    """Logits, float32 (rows, time, vocab_size). Arguments as `hidden`."""
    return functional.linear(hidden(weights, config, tokens, documents, dropout), weights.get(HEAD, weights[EMBEDDING]))


def greedy(weights: Weights, config: ModelConfig, prompt: list[int], stops: tuple[int, ...], most: int) -> list[int]:
    """The likeliest ids after a prompt, one by one, up to a stop id, `most` ids or the end of the context."""
    ids = list(prompt)
    device = weights[EMBEDDING].device
    with torch.no_grad():
        while len(ids) < min(config.context, len(prompt) + most):
            ids.append(int(logits(weights, config, torch.tensor([ids], device=device))[0, -1].argmax()))
            if ids[-1] in stops:
                break
    return ids[len(prompt) :]
