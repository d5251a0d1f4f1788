"""The training loop: optimisers, learning rate, averaged weights, validation and checkpoints to resume from."""

from __future__ import annotations

import hashlib
import math
import pickle
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch.nn import functional

from tinyllm.errors import UserError
from tinyllm.models.training.corpus import Corpus
from tinyllm.models.training.muon import Muon
from tinyllm.models.training.network import Shape, Weights, initial_weights, logits


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights apart from the text and the version of torch.

    Matrices are trained by Muon, the embedding and the norms by AdamW, both with decoupled weight decay.
    Learning rates rise over `warmup` steps, fall to half at `halved_part` of the steps, and faster to zero at the last.
    Rows are `short_row` tokens long, which is quicker, for the first `short_part` of the steps, then the whole context;
    a step learns from `tokens` tokens in all.
    average: decay of the running average of the weights, which is what is validated and kept.
    """

    shape: Shape = field(default_factory=Shape)
    seed: int = 260
    steps: int = 5000
    tokens: int = 2048
    short_row: int = 256
    short_part: float = 0.8
    matrix_rate: float = 0.03
    vector_rate: float = 0.012
    warmup: int = 100
    halved_part: float = 0.6
    weight_decay: float = 0.1
    dropout: float = 0.05
    average: float = 0.99
    validate_every: int = 250


@dataclass(frozen=True)
class Measure:
    """How well text is predicted: summed negative log likelihood in nats over `tokens` tokens, `text_bytes` bytes."""

    nats: float
    tokens: int
    text_bytes: int

    @property
    def loss(self) -> float:
        """Nats per token."""
        return self.nats / self.tokens

    @property
    def perplexity(self) -> float:
        """Per token."""
        return math.exp(self.loss)

    @property
    def byte_perplexity(self) -> float:
        """Per byte of text, which does not depend on the tokenizer."""
        return math.exp(self.nats / self.text_bytes)


def measure(weights: Weights, shape: Shape, corpus: Corpus) -> Measure:
    """Predict each story alone, from BOS and up to the end of the context; EOS is not counted."""
    nats, tokens, text_bytes = 0.0, 0, 0
    with torch.no_grad():
        for document in corpus.documents:
            ids = document[:-1][: shape.context]
            row = torch.from_numpy(ids)
            guesses = logits(weights, shape, row[None, :-1])[0]
            nats += functional.cross_entropy(guesses, row[1:], reduction="sum").item()
            tokens += len(ids) - 1
            text_bytes += corpus.text_bytes(ids[1:])
    return Measure(nats, tokens, text_bytes)


class Training:
    """A run that can stop after any step and go on from its last checkpoint, with the same result.

    weights: being trained; averaged: their running average; best: the average that predicted the validation
    stories best so far, and best_loss its loss.
    """

    def __init__(self, recipe: Recipe, train: Corpus, valid: Corpus, checkpoint: Path) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.valid, self.checkpoint = recipe, valid, checkpoint
        self.weights = initial_weights(recipe.shape)
        self.averaged = {name: tensor.clone() for name, tensor in self.weights.items()}
        self.best, self.best_loss = self.averaged, math.inf
        self.step = 0
        self.chunks = train.chunks(recipe.seed, recipe.tokens)
        text = hashlib.sha256(b"".join(ids.tobytes() for corpus in (train, valid) for ids in corpus.documents))
        self.identity = f"{asdict(recipe)} {text.hexdigest()}"
        matrices = [w for name, w in self.weights.items() if w.ndim == 2 and "embed" not in name]
        vectors = [w for name, w in self.weights.items() if w.ndim == 1 or "embed" in name]
        for tensor in self.weights.values():
            tensor.requires_grad_(True)
        self.muon = Muon(matrices, recipe.weight_decay)
        self.adamw = torch.optim.AdamW(vectors, betas=(0.9, 0.95), weight_decay=recipe.weight_decay)

    def rate(self) -> float:
        """Fraction of the learning rates at this step, along three straight lines."""
        halved = self.recipe.halved_part * self.recipe.steps
        rise = (self.step + 1) / self.recipe.warmup
        fall = 1 - self.step / (2 * halved)
        end = (self.recipe.steps - self.step) / (2 * (self.recipe.steps - halved))
        return min(rise, fall, end)

    def train_step(self) -> float:
        """One update from the next batch; returns its loss."""
        recipe = self.recipe
        row = recipe.short_row if self.step < recipe.short_part * recipe.steps else recipe.shape.context
        chunk = torch.from_numpy(next(self.chunks))
        guesses = logits(self.weights, recipe.shape, chunk[:-1].view(-1, row), recipe.dropout)
        loss = functional.cross_entropy(guesses.flatten(0, 1), chunk[1:])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(self.weights.values()), 1.0)
        self.muon.update(self.recipe.matrix_rate * self.rate())
        self.adamw.param_groups[0]["lr"] = self.recipe.vector_rate * self.rate()
        self.adamw.step()
        self.adamw.zero_grad()
        self.step += 1
        decay = min(self.recipe.average, self.step / (self.step + 10))
        with torch.no_grad():
            for name, tensor in self.averaged.items():
                tensor.lerp_(self.weights[name], 1 - decay)
        return float(loss.detach())

    def validate(self) -> float:
        """Loss of the averaged weights on the validation stories; the best weights so far are kept."""
        loss = measure(self.averaged, self.recipe.shape, self.valid).loss
        if loss < self.best_loss:
            self.best, self.best_loss = {name: tensor.clone() for name, tensor in self.averaged.items()}, loss
        return loss

    def run(self, report: Callable[[int, float, float | None], None]) -> None:
        """Train to the last step; `report(step, training loss, validation loss or None)` is called after each.

        Raises UserError if the checkpoint in the way is not of this run.
        """
        self.resume()
        while self.step < self.recipe.steps:
            loss = self.train_step()
            due = self.step % self.recipe.validate_every == 0 or self.step == self.recipe.steps
            report(self.step, loss, self.validate() if due else None)
            if due:
                self.save()

    def save(self) -> None:
        """Write the checkpoint whole or not at all."""
        state = {
            "identity": self.identity,
            "step": self.step,
            "weights": self.weights,
            "averaged": self.averaged,
            "best": self.best,
            "best_loss": self.best_loss,
            "velocities": self.muon.velocities,
            "adamw": self.adamw.state_dict(),
            "generator": torch.get_rng_state(),
        }
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.checkpoint)

    def resume(self) -> None:
        """Go on from the checkpoint if there is one."""
        if not self.checkpoint.exists():
            return
        try:
            state = torch.load(self.checkpoint, weights_only=True)
            identity = state["identity"]
        except (OSError, RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
            raise UserError(f"{self.checkpoint}: not a checkpoint of this recipe; delete it to start anew") from error
        if identity != self.identity:
            raise UserError(f"{self.checkpoint}: of a run with other text or settings; delete it to start anew")
        self.step, self.best_loss = state["step"], state["best_loss"]
        self.averaged, self.best = state["averaged"], state["best"]
        with torch.no_grad():
            for name, tensor in self.weights.items():
                tensor.copy_(state["weights"][name])
        self.muon.velocities = state["velocities"]
        self.adamw.load_state_dict(state["adamw"])
        torch.set_rng_state(state["generator"])
        for _ in range(self.step):
            next(self.chunks)
