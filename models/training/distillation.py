"""A teacher: a larger checkpoint whose distribution of the next token the model learns (arXiv 1503.02531)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from tinyllm.codegen.arithmetic.float_model import Model, ModelConfig
from tinyllm.models.training.network import EMBEDDING, HEAD, Weights, hidden, weights_of


@dataclass(frozen=True)
class Teacher:
    """A model of any format that the readers read, with the tokenizer of the model that it teaches."""

    weights: Weights
    config: ModelConfig

    @classmethod
    def of(cls, model: Model, device: str) -> Teacher:
        return cls({name: tensor.to(device) for name, tensor in weights_of(model).items()}, model.config)

    def divergence(self, guesses: Tensor, inputs: Tensor, documents: Tensor | None, learned: Tensor) -> Tensor:
        """Mean KL divergence in nats, from the teacher's distribution to the model's.

        guesses: the model's logits (n, vocab_size) at the n places that `learned`, bool (rows, length), names in
        `inputs`, int64 (rows, length).
        """
        with torch.no_grad():
            x = hidden(self.weights, self.config, inputs, documents)[learned]
            wanted = functional.linear(x, self.weights.get(HEAD, self.weights[EMBEDDING])).log_softmax(-1)
        return functional.kl_div(guesses.log_softmax(-1), wanted, reduction="batchmean", log_target=True)
