"""What a trimmed vocabulary saves, and what it does to the perplexity: compares the whole and the trimmed model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tinyllm.codegen.trim import Saving
from tinyllm.codegen.verify.perplexity import STORY_SEPARATOR, Evaluation, Tokens, evaluate, evaluation_sequences
from tinyllm.host.model.calibrate import integers_of
from tinyllm.host.model.load import LoadedModel

SAMPLE_TOKENS = 256
"""Tokens of the text on which a build measures the perplexity; `tinyllm eval` takes all stories of its text."""

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Effect:
    """The whole model and the trimmed one on the same text.

    same_tokens: whether both split it into the same tokens, so that the perplexities compare token for token.
    """

    whole: Evaluation
    trimmed: Evaluation
    same_tokens: bool

    def lines(self) -> Iterator[str]:
        """For people."""
        yield (
            f"perplexity on {self.whole.predicted:,} tokens, whole to trimmed: "
            f"fp32 {self.whole.fp32_perplexity:.4f} to {self.trimmed.fp32_perplexity:.4f}, "
            f"integers {self.whole.integer_perplexity:.4f} to {self.trimmed.integer_perplexity:.4f}"
        )
        yield self.comparability()

    def comparability(self) -> str:
        """A sentence on whether the perplexities compare."""
        if self.same_tokens:
            return "Both read the same tokens. A choice among fewer is easier: lower does not mean a better model."
        return (
            f"The text needs tokens that were dropped ({self.whole.tokens:,} became {self.trimmed.tokens:,}): "
            "perplexities per token do not compare. Trim to a text more like it."
        )


@dataclass(frozen=True)
class Trimming:
    """saving: computed. effect: measured on the beginning of the text that the vocabulary was trimmed to."""

    saving: Saving
    effect: Effect

    def lines(self) -> Iterator[str]:
        """For people."""
        yield saving_line(self.saving)
        yield from self.effect.lines()


def saving_line(saving: Saving) -> str:
    """One line for people."""
    return (
        f"vocabulary trimmed from {saving.tokens_before:,} to {saving.tokens:,} tokens: saves {saving.parameters:,} "
        f"parameters, {saving.flash:,} bytes of flash, {saving.ram:,} of RAM"
    )


def trimming_of(loaded: LoadedModel, stories: Sequence[str]) -> Trimming | None:
    """What trimming to these stories did; None if the vocabulary is whole."""
    if loaded.whole is None or loaded.saving is None:
        return None
    return Trimming(loaded.saving, compare(loaded.whole, loaded, stories, loaded.context, SAMPLE_TOKENS))


def compare(
    whole: LoadedModel,
    trimmed: LoadedModel,
    stories: Sequence[str],
    max_tokens: int,
    n_tokens: int | None = None,
    progress: Progress = lambda _: None,
) -> Effect:
    """Evaluate both on the first `max_tokens` tokens of each story, in as many stories as have about `n_tokens`.

    progress: called with the number of stories done, counted for each of the two. Errors as evaluate.
    """
    sequences = _first(sequences_of(whole, stories, max_tokens), n_tokens)
    shorter = sequences_of(trimmed, stories[: len(sequences)], max_tokens)
    if n_tokens is not None:
        sequences, shorter = ([ids[: n_tokens + 1] for ids in each] for each in (sequences, shorter))
    before = evaluate(whole.model, integers_of(whole), sequences, progress)
    after = evaluate(trimmed.model, integers_of(trimmed), shorter, lambda done: progress(len(sequences) + done))
    return Effect(before, after, _pieces(whole, sequences) == _pieces(trimmed, shorter))


def sequences_of(loaded: LoadedModel, stories: Sequence[str], max_tokens: int) -> list[Tokens]:
    """The tokens of each story, as `evaluate` takes them."""
    return evaluation_sequences(STORY_SEPARATOR.join(stories), loaded.tokenizer, max_tokens)


def _first(sequences: list[Tokens], n_tokens: int | None) -> list[Tokens]:
    """The first sequences that together hold more than `n_tokens`, or all."""
    total = 0
    for count, tokens in enumerate(sequences, start=1):
        total += len(tokens)
        if n_tokens is not None and total > n_tokens:
            return sequences[:count]
    return sequences


def _pieces(loaded: LoadedModel, sequences: list[Tokens]) -> list[list[bytes]]:
    return [[loaded.tokenizer.pieces[token] for token in tokens] for tokens in sequences]
