"""The loss of a batch, or of some of its rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from tinyllm.codegen.arithmetic.float_model import ModelConfig
from tinyllm.models.training.distillation import Teacher
from tinyllm.models.training.network import EMBEDDING, HEAD, Weights, hidden
from tinyllm.models.training.rounding import Rounding, rounded
from tinyllm.models.training.rows import IGNORED


class Rows(NamedTuple):
    """inputs, targets, documents: int64 (rows, length), as rows.Batch has them."""

    inputs: Tensor
    targets: Tensor
    documents: Tensor | None

    def split(self, count: int) -> list[Rows]:
        """At most `count` parts with about as many rows each."""
        inputs, targets = (torch.tensor_split(part, min(count, len(part))) for part in self[:2])
        documents = [None] * len(inputs) if self.documents is None else self.documents.tensor_split(len(inputs))
        return [Rows(*part) for part in zip(inputs, targets, documents, strict=True)]


@dataclass(frozen=True)
class Learner:
    """A model in training. teacher_part: the teacher's share of the loss, if there is a teacher."""

    weights: Weights
    config: ModelConfig
    dropout: float
    teacher: Teacher | None
    teacher_part: float

    def loss(self, rows: Rows, rounding: Rounding, whole: Tensor | None = None) -> Tensor:
        """Mean nats of a learned token. With a teacher, a mean of that and the divergence, weighted by teacher_part.

        whole: the targets of the batch of which these are some rows; the result is then their share of its loss.
        """
        inputs, targets, documents = rows
        weights = rounded(self.weights, rounding)
        x = hidden(weights, self.config, inputs, documents, self.dropout)
        learned = targets != IGNORED
        guesses = functional.linear(x[learned], weights.get(HEAD, weights[EMBEDDING]))
        if not len(guesses):
            return x.sum() * 0
        loss = functional.cross_entropy(guesses, targets[learned])
        if whole is not None:
            loss = loss * (learned.sum() / (whole != IGNORED).sum())
        if self.teacher is None:
            return loss
        part, divergence = self.teacher_part, self.teacher.divergence(guesses, inputs, documents, targets)
        if whole is not None:
            divergence = divergence * (self.teacher.taught(targets).sum() / self.teacher.taught(whole).sum())
        return (1 - part) * loss + part * divergence
