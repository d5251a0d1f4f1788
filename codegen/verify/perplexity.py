"""Perplexity on a text: cuts the text into token sequences and compares the float and the integer model on them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinyllm.codegen.arithmetic.float_forward import FloatForward, log_softmax
from tinyllm.codegen.arithmetic.float_model import F32, Model
from tinyllm.codegen.arithmetic.integer_forward import Reference
from tinyllm.codegen.arithmetic.integer_model import IntegerModel
from tinyllm.codegen.tokenizers.encode.encoder import encode
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer
from tinyllm.errors import UserError

STORY_SEPARATOR = "<|endoftext|>"

Tokens = NDArray[np.int64]


def split_stories(text: str) -> list[str]:
    """The texts between the separators, stripped; empty ones are left out."""
    return [story for part in text.split(STORY_SEPARATOR) if (story := part.strip())]


def evaluation_sequences(text: str, tokenizer: Tokenizer, max_tokens: int) -> list[Tokens]:
    """For each story: BOS and its first tokens, int64 (at most `max_tokens`,)."""
    return [np.array(encode(tokenizer, story, bos=True)[:max_tokens], np.int64) for story in split_stories(text)]


def token_losses(logits: F32, tokens: Tokens) -> NDArray[np.float64]:
    """-ln p of each token after the first, (T-1,), from logits (T, vocab_size) or (T-1, vocab_size)."""
    rows = log_softmax(logits[: len(tokens) - 1])
    losses: NDArray[np.float64] = -rows[np.arange(len(rows)), tokens[1:]]
    return losses


def perplexity(forward: Callable[[Tokens], F32], sequences: Iterable[Tokens]) -> float:
    """The exponential of the mean loss over every predicted token.

    forward: computes logits (T, vocab_size) from tokens (T,). Raises ValueError if there is no token to predict.
    """
    losses = [token_losses(forward(tokens), tokens) for tokens in sequences]
    if not sum(map(len, losses)):
        raise ValueError("no token to predict")
    return float(np.exp(np.concatenate(losses).mean()))


@dataclass(frozen=True)
class Evaluation:
    """The integer model compared with the float model, over every predicted token.

    tokens: the number of all tokens. predicted: the number without the first token of each sequence. kl: mean
    Kullback-Leibler divergence of the integer model's distribution from the float model's, in nats. top1_agreement: how
    often both rank the same token first, from 0 to 1.
    """

    tokens: int
    predicted: int
    fp32_perplexity: float
    integer_perplexity: float
    kl: float
    top1_agreement: float

    @property
    def ratio(self) -> float:
        """Integer perplexity over fp32 perplexity."""
        return self.integer_perplexity / self.fp32_perplexity


@dataclass
class _Sums:
    """The sums of one integer model over the tokens so far."""

    loss: float = 0.0
    kl: float = 0.0
    agreed: int = 0


def evaluate(
    model: Model, integers: IntegerModel, sequences: Sequence[Tokens], progress: Callable[[int], None] = lambda _: None
) -> Evaluation:
    """Compare both forms of a model on the same tokens; arguments and errors are those of evaluate_all."""
    return evaluate_all(model, [integers], sequences, progress)[0]


def evaluate_all(
    model: Model,
    variants: Sequence[IntegerModel],
    sequences: Sequence[Tokens],
    progress: Callable[[int], None] = lambda _: None,
) -> list[Evaluation]:
    """Compare each integer form of a model with its float form, on the same tokens.

    progress: called with the number of sequences that are done. Raises UserError if there is no token to predict or if
    a sequence is longer than the context.
    """
    predicted = sum(len(tokens) - 1 for tokens in sequences)
    if predicted < 1:
        raise UserError("the text has no token to predict; give a longer one.")
    longest = max(map(len, sequences))
    context = min((integers.config.context for integers in variants), default=longest)
    if longest > context:
        raise UserError(f"a story has {longest} tokens, the context holds {context}; lower --max-tokens.")
    floats, references = FloatForward(model), [Reference(integers) for integers in variants]
    sums = [_Sums() for _ in variants]
    fp32_loss = 0.0
    for done, tokens in enumerate(sequences, start=1):
        if len(tokens) < 2:
            continue
        rows = np.arange(len(tokens) - 1)
        expected = log_softmax(floats.forward(tokens)[:-1])
        fp32_loss -= float(expected[rows, tokens[1:]].sum())
        for reference, total in zip(references, sums, strict=True):
            reference.reset()
            got = log_softmax(reference.forward(tokens)[:-1] / 2**16)
            total.loss -= float(got[rows, tokens[1:]].sum())
            total.kl += float((np.exp(expected) * (expected - got)).sum())
            total.agreed += int((expected.argmax(axis=-1) == got.argmax(axis=-1)).sum())
        progress(done)
    return [
        Evaluation(
            tokens=sum(map(len, sequences)),
            predicted=predicted,
            fp32_perplexity=math.exp(fp32_loss / predicted),
            integer_perplexity=math.exp(total.loss / predicted),
            kl=total.kl / predicted,
            top1_agreement=total.agreed / predicted,
        )
        for total in sums
    ]
