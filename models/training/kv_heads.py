"""Fewer heads of keys and values for a trained model: neighbouring ones become one, queries and outputs follow.

The mean of heads (arXiv 2305.13245) cancels what they hold, because two heads may say the same with different turns and
signs. Here the merged head is the nearest one to all: after Eckart and Young, from singular value decompositions.

- RoPE turns a pair of channels as a complex number, so a head of keys may be multiplied by a complex number for each
  pair if its queries are multiplied by the conjugate. The keys of a group are therefore one complex row for each pair,
  times a factor for each old head, which moves into the queries.
- What values do is their product with the rows of wo that read them. The merged values are the subspace of that.

Inputs are taken to be uncorrelated after RMSNorm: an input's size is the norm's gain. So no text is needed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tinyllm.models.training.network import Weights
from tinyllm.models.training.shape import Shape

TINY = 1e-12
"""Stands for zero where it would be divided by."""


def with_fewer_kv_heads(weights: Weights, shape: Shape, fewer: int) -> Weights:
    """The weights of a model of `shape` with `fewer` heads of keys and values, which must divide the number it has.

    weights: float32, with RoPE's pairing "half". Matrices that do not change are the same tensors.
    """
    if fewer == shape.n_kv_heads:
        return weights
    changed = dict(weights)
    for block in range(shape.blocks):
        layer = f"model.layers.{block}"
        names = {part: f"{layer}.self_attn.{part}_proj.weight" for part in "qkvo"}
        gain = weights[f"{layer}.input_layernorm.weight"].double().abs().clamp_min(TINY)
        wide = {part: weights[name].double() for part, name in names.items()}
        read, write = shape.n_heads // fewer, shape.n_kv_heads // fewer
        queries = (wide["q"] * gain).view(fewer, read, shape.head_dim, shape.dim)
        keys = (wide["k"] * gain).view(fewer, write, shape.head_dim, shape.dim)
        values = (wide["v"] * gain).view(fewer, write, shape.head_dim, shape.dim)
        outputs = wide["o"].view(shape.dim, fewer, read, shape.head_dim).permute(1, 2, 0, 3)
        merged = [_merged_keys(*each) for each in zip(queries, keys, strict=True)]
        narrow = [_merged_values(*each) for each in zip(outputs, values, strict=True)]
        changed |= {
            names["q"]: torch.cat([each.flatten(0, 1) for each, _ in merged]).div(gain).float(),
            names["k"]: torch.cat([each for _, each in merged]).div(gain).float(),
            names["v"]: torch.cat([each for _, each in narrow]).div(gain).float(),
            names["o"]: torch.stack([each for each, _ in narrow]).permute(2, 0, 1, 3).flatten(1).float(),
        }
    return changed


def _merged_keys(queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """The queries (heads, head_dim, dim) that go with one merged head of keys, and its rows (head_dim, dim).

    keys: (old heads, head_dim, dim); as many queries in a row read each of them.
    """
    asked, kept = _complex(queries), _complex(keys)
    pairs = asked.shape[1]
    weight = asked.abs().square().sum(-1).view(len(keys), -1, pairs).sum(1).sqrt().clamp_min(TINY)  # (old heads, pairs)
    left, size, right = torch.linalg.svd((weight[..., None] * kept).transpose(0, 1), full_matrices=False)
    factor = (left[..., 0] * size[:, :1]).T / weight
    scale = factor.abs().square().mean(0).sqrt().clamp_min(TINY)
    row, factor = right[:, 0] * scale[:, None], factor / scale
    asked = asked * factor.conj().repeat_interleave(len(queries) // len(keys), 0)[..., None]
    return _real(asked), _real(row[None])[0]


def _merged_values(outputs: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """What reads one merged head of values, (heads, dim, head_dim), and its rows (head_dim, dim).

    outputs: (heads, dim, head_dim). values: (old heads, head_dim, dim); as many heads in a row read each of them.
    """
    effect = outputs @ values.repeat_interleave(len(outputs) // len(values), 0)
    rows = torch.linalg.svd(effect.flatten(0, 1), full_matrices=False)[2][: values.shape[1]]
    scale = (values.square().mean() / rows.square().mean()).sqrt().clamp_min(TINY)
    return effect @ rows.T / scale, rows * scale


def _complex(heads: Tensor) -> Tensor:
    """RoPE's pairs of channels as complex numbers: (..., head_dim, dim) becomes (..., head_dim / 2, dim)."""
    return torch.complex(*heads.chunk(2, -2))


def _real(pairs: Tensor) -> Tensor:
    """The inverse of `_complex`."""
    return torch.cat((pairs.real, pairs.imag), -2)
