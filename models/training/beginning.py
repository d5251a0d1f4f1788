"""The weights that a training begins with, if they are another model's, reshaped if wanted.

New blocks, and new rows of a feed-forward layer, add nothing to the residual stream at first. So the larger model
predicts what the other does: growth that keeps the function, as in Net2Net (arXiv 1511.05641). Fewer heads of keys and
values (kv_heads.py) predict worse until they are trained.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from tinyllm.codegen.arithmetic.float_model import Model
from tinyllm.codegen.arithmetic.quantize import half_order
from tinyllm.codegen.checkpoints import read_model
from tinyllm.errors import UserError
from tinyllm.models.training.kv_heads import with_fewer_kv_heads
from tinyllm.models.training.network import Weights, initial_weights, weights_of
from tinyllm.models.training.shape import Shape, shape_from


@dataclass(frozen=True)
class Origin:
    """A model to begin with, and the dimensions to change; None leaves a dimension as it is."""

    path: Path
    blocks: int | None = None
    hidden_dim: int | None = None
    n_kv_heads: int | None = None

    def shape(self, known: Shape, context: int) -> Shape:
        """The shape `known` with the changed dimensions, and at most `context`. Raises UserError for other changes."""
        sizes = (("--blocks", self.blocks, known.blocks), ("--hidden", self.hidden_dim, known.hidden_dim))
        for option, asked, has in sizes:
            if asked is not None and asked < has:
                raise UserError(f"{option} {asked}: {self.path} has {has}, and --from can only make it larger")
        if self.n_kv_heads is not None and known.n_kv_heads % self.n_kv_heads:
            raise UserError(
                f"--kv-heads {self.n_kv_heads}: {self.path} has {known.n_kv_heads}, and --from can only divide them"
            )
        return replace(
            known,
            context=min(known.context, context),
            blocks=self.blocks or known.blocks,
            hidden_dim=self.hidden_dim or known.hidden_dim,
            n_kv_heads=self.n_kv_heads or known.n_kv_heads,
        )


def beginning(origin: Origin, context: int, seed: int) -> tuple[Shape, Weights]:
    """The shape and the float32 weights to begin with. Raises UserError for a model that cannot be trained on here."""
    model = read_model(origin.path)
    known = shape_from(replace(model.config, rope=replace(model.config.rope, pairing="half")))
    weights = _in_halves(model)
    if weights.keys() != known.tensors().keys():
        raise UserError(f"{origin.path}: it has biases, which are not trained here; give it as --teacher instead")
    shape = origin.shape(known, context)
    torch.manual_seed(seed)
    begun = initial_weights(shape)
    for name, tensor in with_fewer_kv_heads(weights, known, shape.n_kv_heads).items():
        begun[name][tuple(slice(size) for size in tensor.shape)] = tensor
    return shape, begun


def _in_halves(model: Model) -> Weights:
    """The model's weights, with queries and keys reordered for RoPE's pairing "half", as in models trained here."""
    weights, config = weights_of(model), model.config
    for name, heads in (("q_proj", config.n_heads), ("k_proj", config.n_kv_heads)):
        order = torch.from_numpy(half_order(config, heads))
        for index in range(len(model.blocks)):
            for part in ("weight", "bias"):
                key = f"model.layers.{index}.self_attn.{name}.{part}"
                if key in weights:
                    weights[key] = weights[key][order]
    return weights
