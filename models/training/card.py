"""The model card, README.md of a trained folder: the model, its data, its loss, and how to train it again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tinyllm.models.training.shape import Shape
from tinyllm.models.training.trainer import Measure, Recipe

UNSTATED = "not stated"
SAMPLE_CHARACTERS = 1000
MADE_BY = "trained with `tinyllm train`"
"""Text in every card. By it a folder is known as one of `tinyllm train`."""


@dataclass(frozen=True)
class Card:
    """The content of a card. licence: of the weights. data: the text, in words. The maker gave both.

    documents, tokens: of the training text; learned: the tokens of these that are predicted. held_out: validation
    documents. read: tokens read in training. seconds: of this training. versions: of the programs that decide the
    weights. samples: pairs of the given text and what the model wrote.
    """

    name: str
    shape: Shape
    recipe: Recipe
    figures: Measure
    kind: str
    files: Sequence[str]
    documents: int
    tokens: int
    learned: int
    held_out: int
    read: int
    licence: str | None
    data: str | None
    command: str
    cores: int
    seconds: float
    versions: Sequence[str]
    origin: str | None
    teacher: str | None
    samples: Sequence[tuple[str, str]]

    def markdown(self) -> str:
        """The card as Markdown, with front matter for the Hugging Face Hub."""
        return "\n".join([*self._front(), *self._dimensions(), *self._data(), *self._recipe(), *self._samples()]) + "\n"

    def _front(self) -> list[str]:
        licence = self.licence if self.licence and re.fullmatch(r"[A-Za-z0-9.+-]+", self.licence) else "other"
        more = ["license_name: " + _plain(self.licence or UNSTATED)] if licence == "other" else []
        tags = ["library_name: tinyllm", "pipeline_tag: text-generation"]
        return ["---", f"license: {licence}", *more, *tags, "---", ""]

    def _dimensions(self) -> list[str]:
        shape = self.shape
        head = "the embedding is also the head" if shape.tied else "a head of its own"
        shared = ", each run twice in a row" if shape.shared else ""
        return [
            f"# {self.name}",
            "",
            f"A {shape.n_parameters:,}-parameter model for microcontrollers, {MADE_BY}.",
            "",
            "| | |",
            "|---|---|",
            f"| parameters | {shape.n_parameters:,} float16, {head} |",
            f"| dimension, hidden dimension | {shape.dim}, {shape.hidden_dim} |",
            f"| blocks | {shape.blocks}{shared} |",
            f"| query heads, key/value heads | {shape.n_heads}, {shape.n_kv_heads} of {shape.head_dim} |",
            f"| context | {shape.context} tokens |",
            f"| vocabulary | {shape.vocab_size} pieces |",
            "",
        ]

    def _data(self) -> list[str]:
        learned = (
            "" if self.learned == self.tokens else f", {self.learned:,} of them in answers, which alone are learned"
        )
        return [
            "## Data",
            "",
            f"{self.data or 'What the data are and under which licence: ' + UNSTATED + '.'}",
            "",
            f"Files: {', '.join(self.files)}. {self.documents:,} {self.kind}, {self.tokens:,} tokens{learned}.",
            f"{self.held_out:,} further {self.kind} were held out: they chose the weights, and none was trained on.",
            f"Licence of the weights: {self.licence or UNSTATED}.",
            "",
        ]

    def _recipe(self) -> list[str]:
        recipe, figures = self.recipe, self.figures
        lines = [
            "## Recipe",
            "",
            f"    {self.command}",
            "",
            f"{recipe.steps:,} steps of about {recipe.tokens:,} tokens, {self.read:,} in all, seed {recipe.seed},"
            f" {self.seconds / 60:.1f} minutes on {self.cores} core{'s' * (self.cores > 1)}.",
            f"{', '.join(self.versions)}. The same command, files and versions give the same weights",
            "on the same kind of processor.",
            "",
        ]
        if self.origin:
            lines += [f"The weights of {self.origin} were the beginning.", ""]
        if self.teacher:
            lines += [f"Distilled from {self.teacher}: {recipe.teacher_part:.0%} of the loss is the divergence.", ""]
        if recipe.rounding.value != "none":
            late = f"From step {round(recipe.rounding_from * recipe.steps):,} on"
            lines += [f"{late} the forward pass had {recipe.rounding.value} weights; so has the loss below.", ""]
        return [
            *lines,
            "## Measured",
            "",
            f"On the {self.held_out:,} held-out {self.kind}, {figures.tokens:,} tokens: loss {figures.loss:.4f} nats,"
            f" perplexity {figures.perplexity:.3f} a token and {figures.byte_perplexity:.3f} a byte.",
            "",
            "![loss](loss.svg)",
            "",
        ]

    def _samples(self) -> list[str]:
        lines = ["## Samples", "", "The likeliest token each time.", ""]
        for given, written in self.samples:
            lines += [f"> **{_quoted(given)}** {_quoted(written)}" if given else f"> {_quoted(written)}", ""]
        return lines[:-1]


def _plain(text: str) -> str:
    """A text as a YAML string."""
    return '"' + re.sub(r'["\\\n]', " ", text) + '"'


def _quoted(text: str) -> str:
    """A text for a quotation in Markdown, with Markdown's marks escaped."""
    escaped = re.sub(r"([\\`*_<>\[\]])", r"\\\1", text[:SAMPLE_CHARACTERS].strip())
    return "  \n> ".join(escaped.split("\n"))
