"""Samples stories from a model, many side by side, as text to train a smaller model on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import functional

from tinyllm.codegen.checkpoints import read_model
from tinyllm.codegen.tokenizers.encode.encoder import decode
from tinyllm.errors import UserError
from tinyllm.models.training.network import EMBEDDING, HEAD, KVCache, hidden, weights_of
from tinyllm.models.training.texts import SEPARATOR
from tinyllm.models.training.vocabulary import tokenizer_of

ROWS = 256
"""The most stories that grow side by side: enough for large matrix products, few enough for a processor's cache."""
FEWEST = 16
DENSE = 0.85
"""If less than this share of the rows still grows, the ended rows are taken out of the batch."""


def sample_stories(
    model: Path,
    count: int,
    seed: int = 1,
    temperature: float = 1.0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[str, int]:
    """The text of `count` stories of a model, as tinyllm train reads it, and its number of tokens.

    Each story is sampled from BOS alone. Stories that do not end within the context are left out. The same arguments
    give the same text on the same kind of processor. Raises UserError for a model that cannot be read, has no BOS, or
    does not end its stories.
    """
    torch.set_num_threads(1)
    _, tokenizer = tokenizer_of(model)
    if tokenizer.bos is None:
        raise UserError(f"{model}: its tokenizer has no BOS, which a story begins with")
    read = read_model(model)
    weights, config = weights_of(read), read.config
    generator = torch.Generator().manual_seed(seed)
    stops = torch.tensor(sorted(tokenizer.stop_ids))
    stories: list[tuple[str, int]] = []
    begun = 0
    while len(stories) < count:
        rows = min(ROWS, max(FEWEST, count - len(stories)))
        begun += rows
        cache = KVCache.of(config, rows)
        written, place = torch.full((rows, 1), tokenizer.bos), torch.arange(rows)
        alive = torch.ones(rows, dtype=torch.bool)
        found: dict[int, tuple[str, int]] = {}
        while alive.any() and cache.length < config.context:
            x = hidden(weights, config, written[:, -1:], cache=cache)[:, 0]
            scores = functional.linear(x, weights.get(HEAD, weights[EMBEDDING])) / temperature
            chosen = torch.multinomial(scores.softmax(-1), 1, generator=generator)
            ended = torch.isin(chosen[:, 0], stops) & alive
            for row, ids in zip(place[ended].tolist(), written[ended, 1:].tolist(), strict=True):
                text = decode(tokenizer, ids).decode("utf-8", "replace").strip()
                if text and SEPARATOR not in text:
                    found[row] = text, len(ids)
            written, alive = torch.cat((written, chosen), 1), alive & ~ended
            if alive.sum() < DENSE * len(alive):
                cache.keep(alive)
                written, place, alive = written[alive], place[alive], alive[alive]
            progress(min(len(stories) + len(found), count), count)
        stories += [found[row] for row in sorted(found)]  # By row, because the first stories that end are short.
        if len(stories) < begun // 100:
            raise UserError(f"{model}: of {begun} stories {len(stories)} ended within {config.context} tokens")
    text = f"\n{SEPARATOR}\n".join(text for text, _ in stories[:count]) + "\n"
    return text, sum(tokens for _, tokens in stories[:count])
