"""A teacher: a larger checkpoint whose distribution of the next token the model learns (arXiv 1503.02531)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from tinyllm.codegen.arithmetic.float_model import Model, ModelConfig
from tinyllm.models.training.network import EMBEDDING, HEAD, Weights, hidden, weights_of
from tinyllm.models.training.rows import IGNORED

NEVER = -100.0
"""A logarithm of a probability that is zero in float32; minus infinity has no product with it."""


@dataclass(frozen=True)
class Teacher:
    """A model of any format that the readers read, with the tokenizer of the model that it teaches.

    ends: the ids of BOS and EOS. Where a teacher ends a text with the BOS of the next, as those of llama2.c do, the
    model learns EOS. What comes after EOS it does not teach.
    """

    weights: Weights
    config: ModelConfig
    ends: tuple[int, int]

    @classmethod
    def of(cls, model: Model, ends: tuple[int, int], device: str) -> Teacher:
        return cls({name: tensor.to(device) for name, tensor in weights_of(model).items()}, model.config, ends)

    def divergence(self, guesses: Tensor, inputs: Tensor, documents: Tensor | None, targets: Tensor) -> Tensor:
        """Mean KL divergence in nats, from the teacher's distribution to the model's.

        guesses: the model's logits (n, vocab_size) at the n places of `targets`, int64 (rows, length), that are not
        IGNORED; inputs, documents: int64 (rows, length).
        """
        bos, eos = self.ends
        learned = targets != IGNORED
        taught = targets[learned] != bos
        with torch.no_grad():
            x = hidden(self.weights, self.config, inputs, documents)[learned][taught]
            wanted = functional.linear(x, self.weights.get(HEAD, self.weights[EMBEDDING])).log_softmax(-1)
            wanted[:, eos] = torch.logaddexp(wanted[:, eos], wanted[:, bos])
            wanted[:, bos] = NEVER
        return functional.kl_div(guesses[taught].log_softmax(-1), wanted, reduction="batchmean", log_target=True)
