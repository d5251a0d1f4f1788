"""A Llama-family transformer in PyTorch, functions over tensors named as in Hugging Face checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Shape:
    """Dimensions, multiples of 16 so that rows of int8 weights fill SIMD registers; the head is the embedding."""

    dim: int = 64
    hidden_dim: int = 176
    n_layers: int = 5
    n_heads: int = 4
    n_kv_heads: int = 2
    head_dim: int = 16
    vocab_size: int = 512
    context: int = 512
    rope_theta: float = 10000.0
    norm_epsilon: float = 1e-5

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every tensor of the checkpoint; matrices are (outputs, inputs)."""
        q_dim, kv_dim = self.n_heads * self.head_dim, self.n_kv_heads * self.head_dim
        tensors: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (self.vocab_size, self.dim)}
        for layer in range(self.n_layers):
            block = {
                "input_layernorm": (self.dim,),
                "self_attn.q_proj": (q_dim, self.dim),
                "self_attn.k_proj": (kv_dim, self.dim),
                "self_attn.v_proj": (kv_dim, self.dim),
                "self_attn.o_proj": (self.dim, q_dim),
                "post_attention_layernorm": (self.dim,),
                "mlp.gate_proj": (self.hidden_dim, self.dim),
                "mlp.up_proj": (self.hidden_dim, self.dim),
                "mlp.down_proj": (self.dim, self.hidden_dim),
            }
            tensors |= {f"model.layers.{layer}.{name}.weight": shape for name, shape in block.items()}
        return tensors | {"model.norm.weight": (self.dim,)}

    def config(self) -> dict[str, Any]:
        """The content of config.json for Hugging Face's LlamaForCausalLM."""
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_size": self.dim,
            "intermediate_size": self.hidden_dim,
            "num_hidden_layers": self.n_layers,
            "num_attention_heads": self.n_heads,
            "num_key_value_heads": self.n_kv_heads,
            "head_dim": self.head_dim,
            "vocab_size": self.vocab_size,
            "max_position_embeddings": self.context,
            "rope_theta": self.rope_theta,
            "rms_norm_eps": self.norm_epsilon,
            "hidden_act": "silu",
            "attention_bias": False,
            "mlp_bias": False,
            "tie_word_embeddings": True,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "torch_dtype": "float32",
        }


def initial_weights(shape: Shape) -> Weights:
    """float32 weights from torch's generator: norms one, projections into the residual stream zero, the rest normal."""
    weights: Weights = {}
    for name, size in shape.tensors().items():
        if len(size) == 1:
            weights[name] = torch.ones(size)
        elif name.endswith(("o_proj.weight", "down_proj.weight")):
            weights[name] = torch.zeros(size)
        else:
            weights[name] = torch.randn(size) * (0.05 if "embed" in name else 0.6 * size[1] ** -0.5)
    return weights


def rotate(heads: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """RoPE with half pairing (arXiv 2104.09864): heads (batch, heads, time, head_dim), angles (time, head_dim / 2)."""
    first, second = heads.chunk(2, dim=-1)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)


def logits(weights: Weights, shape: Shape, tokens: Tensor, dropout: float = 0.0) -> Tensor:
    """Logits float32 (batch, time, vocab_size) of tokens int64 (batch, time).

    dropout: the probability that a number a sublayer adds to the residual stream is left out.
    """
    batch, time = tokens.shape
    exponents = torch.arange(0, shape.head_dim, 2) / shape.head_dim
    angles = torch.outer(torch.arange(time).float(), shape.rope_theta**-exponents)
    cosine, sine = angles.cos(), angles.sin()
    repeats = shape.n_heads // shape.n_kv_heads

    def linear(x: Tensor, name: str) -> Tensor:
        return functional.linear(x, weights[f"{name}.weight"])

    def norm(x: Tensor, name: str) -> Tensor:
        return functional.rms_norm(x, (shape.dim,), weights[f"{name}.weight"], shape.norm_epsilon)

    def heads(x: Tensor, name: str) -> Tensor:
        return linear(x, name).view(batch, time, -1, shape.head_dim).transpose(1, 2)

    residual = functional.embedding(tokens, weights["model.embed_tokens.weight"])
    for layer in range(shape.n_layers):
        block = f"model.layers.{layer}"
        x = norm(residual, f"{block}.input_layernorm")
        query = rotate(heads(x, f"{block}.self_attn.q_proj"), cosine, sine)
        key = rotate(heads(x, f"{block}.self_attn.k_proj"), cosine, sine).repeat_interleave(repeats, dim=1)
        value = heads(x, f"{block}.self_attn.v_proj").repeat_interleave(repeats, dim=1)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        mixed = mixed.transpose(1, 2).reshape(batch, time, -1)
        residual = residual + functional.dropout(linear(mixed, f"{block}.self_attn.o_proj"), dropout)
        x = norm(residual, f"{block}.post_attention_layernorm")
        gated = functional.silu(linear(x, f"{block}.mlp.gate_proj")) * linear(x, f"{block}.mlp.up_proj")
        residual = residual + functional.dropout(linear(gated, f"{block}.mlp.down_proj"), dropout)
    return linear(norm(residual, "model.norm"), "model.embed_tokens")


def greedy(weights: Weights, shape: Shape, prompt: list[int], stop: int) -> list[int]:
    """The prompt continued with the likeliest token until `stop` or the end of the context."""
    ids = list(prompt)
    with torch.no_grad():
        while len(ids) < shape.context and ids[-1] != stop:
            ids.append(int(logits(weights, shape, torch.tensor([ids]))[0, -1].argmax()))
    return ids
