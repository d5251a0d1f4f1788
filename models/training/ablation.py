"""Compares the ingredients of MobileLLM one by one, at equal parameters and training: the table of models/README.md.

python -m tinyllm.models.training.ablation --text train.txt --valid valid.txt --steps 600 --seeds 260,261
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import click
import torch

from tinyllm.errors import UserError
from tinyllm.models.training.shape import PRESETS, Shape
from tinyllm.models.training.texts import read_stories
from tinyllm.models.training.trainer import Corpus, Recipe, Training
from tinyllm.models.training.vocabulary import Vocabulary, train_vocabulary

PARAMETERS = PRESETS["260k"].n_parameters


def with_parameters(shape: Shape, parameters: int) -> Shape:
    """The shape with its feed-forward layer as wide as brings it nearest to this number of parameters."""
    one, two = (replace(shape, hidden_dim=width).n_parameters for width in (1, 2))
    return replace(shape, hidden_dim=max(1, 1 + round((parameters - one) / (two - one))))


WIDE = Shape(96, 1, 2, 6, 6, 16, tied=False, gated=False)
DEEP = replace(WIDE, dim=64, blocks=5, n_heads=4, n_kv_heads=4, gated=True)
STEPS = {
    "wide and shallow, plain feed-forward layer": WIDE,
    "+ SwiGLU": replace(WIDE, gated=True),
    "+ deep and thin": DEEP,
    "+ the embedding is the head": replace(DEEP, tied=True),
    "+ grouped queries (2 heads of keys)": replace(DEEP, tied=True, n_kv_heads=2),
    "+ each block twice in a row": replace(DEEP, tied=True, n_kv_heads=2, shared=True),
}
"""The compared shapes. Each line adds one ingredient to the line before."""


def shapes() -> dict[str, Shape]:
    """STEPS with as many parameters as the preset 260k, as nearly as whole widths allow."""
    return {name: with_parameters(shape, PARAMETERS) for name, shape in STEPS.items()}


def train_one(shape: Shape, corpus: Corpus, vocabulary: Vocabulary, steps: int, seed: int) -> tuple[float, float]:
    """Train one shape. Returns the validation loss at the end, in nats a token, and tokens/s."""
    recipe = Recipe(shape=shape, steps=steps, seed=seed, validate_every=steps)
    training = Training(recipe, corpus, vocabulary.text_bytes, Path())
    started = time.perf_counter()
    tokens = sum(training.train_step()[1] for _ in range(steps))
    seconds = time.perf_counter() - started
    return training.validate(), tokens / seconds


@click.command()
@click.option("--text", type=click.Path(path_type=Path), required=True, help="Stories to learn from.")
@click.option("--valid", type=click.Path(path_type=Path), required=True, help="Stories to measure with.")
@click.option("--steps", type=click.IntRange(1), default=600, show_default=True)
@click.option("--seeds", default="260", show_default=True, help="With commas between them.")
def command(text: Path, valid: Path, steps: int, seeds: str) -> None:
    """Train each shape with each seed, and print the table."""
    torch.set_num_threads(1)
    if not all(seed.strip().isdecimal() for seed in seeds.split(",")):
        raise click.UsageError(f"--seeds {seeds}: expected numbers with commas between them")
    numbers = [int(seed) for seed in seeds.split(",")]
    try:
        stories, held_out = read_stories([text]), read_stories([valid])
        vocabulary = train_vocabulary(stories, WIDE.vocab_size, chat=False)
    except UserError as error:
        raise click.UsageError(str(error)) from None
    learned, measured = ([vocabulary.story(story) for story in part] for part in (stories, held_out))
    corpus = Corpus(learned, measured, whole=False)
    click.echo("| | dim, hidden, blocks | parameters | " + " | ".join(f"seed {n}" for n in numbers) + " | tokens/s |")
    click.echo("|---|---|---|" + "---|" * (len(numbers) + 1))
    for name, shape in shapes().items():
        runs = [train_one(shape, corpus, vocabulary, steps, seed) for seed in numbers]
        losses = " | ".join(f"{loss:.4f}" for loss, _ in runs)
        dimensions = f"{shape.dim}, {shape.hidden_dim}, {shape.blocks}"
        speed = sum(speed for _, speed in runs) / len(runs)
        click.echo(f"| {name} | {dimensions} | {shape.n_parameters:,} | {losses} | {speed:,.0f} |")


if __name__ == "__main__":
    command()
