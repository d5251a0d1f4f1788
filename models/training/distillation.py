"""Distillation: the model learns a larger checkpoint's distribution of the next token (arXiv 1503.02531)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from tinyllm.codegen.arithmetic.float_model import Model, ModelConfig
from tinyllm.models.training.network import EMBEDDING, HEAD, Weights, hidden, weights_of
from tinyllm.models.training.rows import IGNORED

NEVER = -100.0
"""The logarithm of a probability that is zero in float32. Minus infinity would give NaN in the product."""


@dataclass(frozen=True)
class Teacher:
    """A model of any format that the readers read. It has the tokenizer of the model that it teaches.

    ends: the ids of BOS and EOS. Some teachers, as those of llama2.c, end a text with the BOS of the next; the model
    learns EOS instead. The teacher does not teach what comes after EOS.
    """

    weights: Weights
    config: ModelConfig
    ends: tuple[int, int]

    @classmethod
    def of(cls, model: Model, ends: tuple[int, int], device: str) -> Teacher:
        return cls({name: tensor.to(device) for name, tensor in weights_of(model).items()}, model.config, ends)

    def taught(self, targets: Tensor) -> Tensor:
        """What the teacher teaches, bool (rows, length): what is learned, but not the BOS after an EOS."""
        return (targets != IGNORED) & (targets != self.ends[0])

    def divergence(self, guesses: Tensor, inputs: Tensor, documents: Tensor | None, targets: Tensor) -> Tensor:
        """Mean KL divergence in nats, from the teacher's distribution to the model's.

        inputs, documents, targets: int64 (rows, length). guesses: the model's logits (n, vocab_size) at the n places
        where `targets` is not IGNORED.
        """
        bos, eos = self.ends
        learned, taught = targets != IGNORED, self.taught(targets)
        taught = taught[learned]
        with torch.no_grad():
            x = hidden(self.weights, self.config, inputs, documents)[learned][taught]
            wanted = functional.linear(x, self.weights.get(HEAD, self.weights[EMBEDDING])).log_softmax(-1)
            wanted[:, eos] = torch.logaddexp(wanted[:, eos], wanted[:, bos])
            wanted[:, bos] = NEVER
        return functional.kl_div(guesses[taught].log_softmax(-1), wanted, reduction="batchmean", log_target=True)
