"""The training loop: optimisers, learning rate, averaged weights, validation, and checkpoints to resume from."""

from __future__ import annotations

import hashlib
import io
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tinyllm.errors import UserError
from tinyllm.files import file_size, write_file
from tinyllm.models.training.distillation import Teacher
from tinyllm.models.training.helpers import Helpers, Task
from tinyllm.models.training.learner import Learner, Rows
from tinyllm.models.training.muon import Muon
from tinyllm.models.training.network import EMBEDDING, Weights, initial_weights, is_matrix, logits
from tinyllm.models.training.rounding import Rounding, rounded
from tinyllm.models.training.rows import Batch, packed, row_length, stretches
from tinyllm.models.training.shape import Shape
from tinyllm.models.training.vocabulary import Document

SEED_MASK = 2**63 - 1
TIMED = 4
"""Steps that are timed to compute how many fit a budget of minutes."""


@dataclass(frozen=True)
class Recipe:
    """All settings that decide the weights. Beside them only the texts, the first weights and torch's version do.

    Muon trains matrices; AdamW trains embedding, head and norms. Both have decoupled weight decay.
    Learning rates rise over `warmup` steps or a tenth of all, fall to half at `halved_part` of the steps, and faster to
    zero at the last; rate_scale multiplies them.
    A step learns from `tokens` tokens; for stories this is a multiple of the context. Rows of stories have `short_row`
    tokens, which is quicker, in the first `short_part` of the steps, then the whole context. Rows of conversations are
    as long as the longest conversation needs.
    average: the decay of the running average of the weights. The average is validated and kept.
    rounding: of the weights in the forward pass, after the share `rounding_from` of the steps.
    teacher_part: the teacher's share of the loss, if there is a teacher.
    """

    shape: Shape = field(default_factory=Shape)
    seed: int = 260
    steps: int = 5000
    tokens: int = 2048
    short_row: int = 256
    short_part: float = 0.8
    matrix_rate: float = 0.03
    vector_rate: float = 0.012
    rate_scale: float = 1.0
    warmup: int = 100
    halved_part: float = 0.6
    weight_decay: float = 0.1
    dropout: float = 0.05
    average: float = 0.99
    validate_every: int = 250
    rounding: Rounding = Rounding.NONE
    rounding_from: float = 0.7
    teacher_part: float = 0.0


@dataclass(frozen=True)
class Measure:
    """How well text was predicted. nats: negative log likelihood, summed over `tokens` tokens of `text_bytes` bytes."""

    nats: float
    tokens: int
    text_bytes: int

    @property
    def loss(self) -> float:
        """Mean nats per token."""
        return self.nats / self.tokens

    @property
    def perplexity(self) -> float:
        """Per token."""
        return math.exp(self.loss)

    @property
    def byte_perplexity(self) -> float:
        """Per byte of text, so that it does not depend on the tokenizer."""
        return math.exp(self.nats / self.text_bytes)


@dataclass(frozen=True)
class Corpus:
    """Documents to learn from, and others to validate with. whole: they are conversations, which no row may cut."""

    train: Sequence[Document]
    valid: Sequence[Document]
    whole: bool

    def batches(self, recipe: Recipe) -> Iterator[Batch]:
        """Endless batches, in an order that the recipe's seed decides."""
        if not self.whole:
            return stretches(self.train, recipe.seed, recipe.tokens)
        return packed(self.train, recipe.seed, recipe.tokens, row_length(self.train, recipe.shape.context))

    @property
    def digest(self) -> str:
        """The SHA-256 of all tokens and of which of them are learned, in hexadecimal."""
        parts = (part for documents in (self.train, self.valid) for each in documents for part in each)
        return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


def measure(
    weights: Weights, shape: Shape, documents: Sequence[Document], text_bytes: Callable[[list[int]], int], whole: bool
) -> Measure:
    """Predict each document by itself, up to the end of the context. The last token, EOS, counts only if `whole`.

    text_bytes: gives the UTF-8 bytes of ids. whole: the documents are conversations.
    """
    config, device = shape.model_config(), weights[EMBEDDING].device
    nats, tokens, length = 0.0, 0, 0
    with torch.no_grad():
        for document in documents:
            end = min(len(document.ids) - (not whole), shape.context)
            ids, learned = document.ids[:end], document.learned[1:end]
            if not learned.any():
                continue
            row = torch.from_numpy(ids).to(device)
            guesses = logits(weights, config, row[None, :-1])[0][torch.from_numpy(learned)]
            nats += functional.cross_entropy(guesses, row[1:][torch.from_numpy(learned)], reduction="sum").item()
            tokens += int(learned.sum())
            length += text_bytes(ids[1:][learned].tolist())
    return Measure(nats, max(tokens, 1), max(length, 1))


@dataclass(frozen=True)
class Step:
    """The result of a step: its number, its batch's loss, the validation loss if that was due, the tokens it read."""

    number: int
    loss: float
    valid_loss: float | None
    tokens: int


class Training:
    """A training run. It can stop after any step and go on from its last checkpoint, with the same result.

    weights: the weights in training. averaged: their running average. best: the average with the lowest validation loss
    so far; best_loss: that loss; best_rounding: the rounding with which it was measured. history: (step, training loss,
    validation loss) of each validation. cores: processes that share the rows of each batch.
    """

    def __init__(
        self,
        recipe: Recipe,
        corpus: Corpus,
        text_bytes: Callable[[list[int]], int],
        checkpoint: Path,
        device: str = "cpu",
        first: Weights | None = None,
        teacher: Teacher | None = None,
        cores: int = 1,
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.corpus, self.checkpoint, self.device = recipe, corpus, checkpoint, torch.device(device)
        self.text_bytes, self.cores = text_bytes, cores
        self.config = recipe.shape.model_config()
        start = initial_weights(recipe.shape) if first is None else first
        self.weights = {name: tensor.clone().to(self.device) for name, tensor in start.items()}
        self.averaged = {name: tensor.clone() for name, tensor in self.weights.items()}
        self.best, self.best_loss, self.best_rounding = self.averaged, math.inf, Rounding.NONE
        self.step = 0
        self.history: list[tuple[int, float, float]] = []
        self.losses: list[float] = []
        self.batches = corpus.batches(recipe)
        origin = "" if first is None else _digest(first)
        taught = "" if teacher is None else _digest(teacher.weights)
        self.identity = f"{asdict(replace(recipe, steps=0))} {corpus.digest} {origin} {taught} {device}"
        self.identity += f" {cores} cores" * (cores > 1)
        matrices = [w for name, w in self.weights.items() if is_matrix(name, w)]
        vectors = [w for name, w in self.weights.items() if not is_matrix(name, w)]
        for tensor in self.weights.values():
            if cores > 1:
                tensor.share_memory_()
            tensor.requires_grad_(True)
        self.learner = Learner(self.weights, self.config, recipe.dropout, teacher, recipe.teacher_part)
        self.helpers = Helpers(self.learner, cores - 1)
        self.muon = Muon(matrices, recipe.weight_decay)
        self.adamw = torch.optim.AdamW(vectors, betas=(0.9, 0.95), weight_decay=recipe.weight_decay, fused=True)

    def rate(self) -> float:
        """The factor of the learning rates at this step: the lowest of three straight lines, times rate_scale."""
        halved = self.recipe.halved_part * self.recipe.steps
        rise = (self.step + 1) / min(self.recipe.warmup, max(1, self.recipe.steps // 10))
        fall = 1 - self.step / (2 * halved)
        end = (self.recipe.steps - self.step) / (2 * (self.recipe.steps - halved))
        return self.recipe.rate_scale * min(rise, fall, end)

    @property
    def rounding(self) -> Rounding:
        """The rounding of the weights in this step's forward pass."""
        late = self.step >= self.recipe.rounding_from * self.recipe.steps
        return self.recipe.rounding if late else Rounding.NONE

    def batch(self) -> Rows:
        """The next batch."""
        batch = next(self.batches)
        if batch.documents is None:
            batch = batch.reshaped(self.row_of_stories())
        inputs, targets = (torch.from_numpy(part.copy()).to(self.device) for part in batch[:2])
        documents = None if batch.documents is None else torch.from_numpy(batch.documents).to(self.device)
        return Rows(inputs, targets, documents)

    def row_of_stories(self) -> int:
        """The tokens of a row of stories in this step."""
        recipe = self.recipe
        short = self.step < recipe.short_part * recipe.steps and recipe.tokens % recipe.short_row == 0
        return min(recipe.short_row, recipe.shape.context) if short else recipe.shape.context

    def learn(self, rows: Rows) -> float:
        """Set the gradients of the weights to those of a batch. Returns its loss."""
        first, *others = rows.split(self.cores)
        if not others:
            loss = self.learner.loss(rows, self.rounding)
            loss.backward()
            return loss.item()
        seed = (self.recipe.seed << 32) + self.step * self.cores
        tasks = [Task(part, rows.targets, self.rounding, seed + i & SEED_MASK) for i, part in enumerate(others)]
        self.helpers.begin(tasks)
        loss = self.learner.loss(first, self.rounding, rows.targets)
        loss.backward()
        return loss.item() + self.helpers.finish()

    def train_step(self) -> tuple[float, int]:
        """Update the weights with the next batch. Returns its loss and the number of tokens read."""
        rows = self.batch()
        loss = self.learn(rows)
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
        return loss, rows.inputs.numel()

    def validate(self) -> float:
        """The validation loss of the averaged weights, rounded as in this step. Keeps the weights if they are the best.

        When the rounding begins, the best weights are chosen anew.
        """
        weights = rounded(self.averaged, self.rounding)
        loss = measure(weights, self.recipe.shape, self.corpus.valid, self.text_bytes, self.corpus.whole).loss
        if loss < self.best_loss or self.rounding is not self.best_rounding:
            self.best = {name: tensor.clone() for name, tensor in self.averaged.items()}
            self.best_loss, self.best_rounding = loss, self.rounding
        return loss

    def figures(self) -> Measure:
        """Measure the weights that are written on the validation documents, with the rounding of their validation."""
        weights = rounded(self.result(), self.best_rounding)
        return measure(weights, self.recipe.shape, self.corpus.valid, self.text_bytes, self.corpus.whole)

    def result(self) -> Weights:
        """The weights to be written, float32 with the values of float16: half the bytes, of which a board keeps half.

        Matrices that were trained as int4 get the values of their int4 codes. This is not needed for int8, because a
        build rounds to int8 as the training did.
        """
        chosen = rounded(self.best, self.best_rounding) if self.best_rounding is Rounding.INT4 else self.best
        return {name: tensor.detach().half().float() for name, tensor in chosen.items()}

    def run(self, report: Callable[[Step], None], stop: Callable[[], bool] = lambda: False) -> bool:
        """Train to the last step, or until `stop()` is true after a step. Returns whether the last step is done.

        `report` is called after each step. The checkpoint is written after each validation and when training stops.
        """
        try:
            while self.step < self.recipe.steps:
                loss, tokens = self.train_step()
                self.losses.append(loss)
                due = self.step % self.recipe.validate_every == 0 or self.step == self.recipe.steps
                valid_loss = self.validate() if due else None
                if valid_loss is not None:
                    self.history.append((self.step, float(np.mean(self.losses)), valid_loss))
                    self.losses = []
                report(Step(self.step, loss, valid_loss, tokens))
                stopped = self.step < self.recipe.steps and stop()
                if due or stopped:
                    self.save()
                if stopped:
                    return False
            return True
        finally:
            self.helpers.close()

    def save(self) -> None:
        """Write the checkpoint whole or not at all."""
        state = {
            "identity": self.identity,
            "steps": self.recipe.steps,
            "step": self.step,
            "weights": self.weights,
            "averaged": self.averaged,
            "best": self.best,
            "best_loss": self.best_loss,
            "best_rounding": self.best_rounding.value,
            "history": self.history,
            "losses": self.losses,
            "velocities": self.muon.velocities,
            "adamw": self.adamw.state_dict(),
            "generators": _generators(self.device),
        }
        file = io.BytesIO()
        torch.save(state, file)
        write_file(self.checkpoint, file.getvalue())

    def resume(self, steps: int | None = None) -> bool:
        """Go on from the checkpoint. Returns False if there is none. steps: None takes the number in the checkpoint.

        Raises UserError if it is no regular file, is damaged, or is of a run with other text, settings or `steps`.
        """
        if not self.checkpoint.exists():
            return False
        file_size(self.checkpoint)  # refuses a pipe, on which torch would wait
        try:
            state = torch.load(self.checkpoint, weights_only=True, map_location=self.device)
            identity, planned = state["identity"], int(state["steps"])
        except Exception:  # a damaged file can make torch's reader raise any exception
            raise UserError(f"{self.checkpoint}: not a checkpoint of a training; --fresh starts anew") from None
        if identity != self.identity or (steps is not None and steps != planned):
            raise UserError(f"{self.checkpoint}: of a run with other text or settings; --fresh starts anew")
        self.recipe = replace(self.recipe, steps=planned)
        self._restore(state)
        return True

    def _restore(self, state: dict[str, Any]) -> None:
        self.step, self.best_loss = state["step"], state["best_loss"]
        self.averaged, self.best, self.best_rounding = (
            state["averaged"],
            state["best"],
            Rounding(state["best_rounding"]),
        )
        self.history, self.losses = [tuple(entry) for entry in state["history"]], list(state["losses"])
        with torch.no_grad():
            for name, tensor in self.weights.items():
                tensor.copy_(state["weights"][name])
        self.muon.velocities = state["velocities"]
        self.adamw.load_state_dict(state["adamw"])
        torch.set_rng_state(state["generators"][0].cpu())
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state["generators"][1].cpu(), self.device)
        for _ in range(self.step):
            next(self.batches)

    def steps_in(self, seconds: float) -> int:
        """How many steps take this long, from the time of a few steps. Do not use this run afterwards."""
        parts = [(0, self.recipe.short_part)]
        if not self.corpus.whole:
            parts.append((self.recipe.steps - 1, 1 - self.recipe.short_part))
        mean = 0.0
        for step, part in parts:
            self.step = step
            self.train_step()
            started = time.perf_counter()
            for _ in range(TIMED):
                self.step = step
                self.train_step()
            mean += (time.perf_counter() - started) / TIMED * (part if len(parts) > 1 else 1)
        self.helpers.close()
        return max(1, int(seconds / mean))


def _generators(device: torch.device) -> list[Tensor]:
    return [torch.get_rng_state()] + ([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])


def _digest(weights: Weights) -> str:
    return hashlib.sha256(b"".join(tensor.cpu().numpy().tobytes() for tensor in weights.values())).hexdigest()
