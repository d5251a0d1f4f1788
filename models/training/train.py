"""The command that trains the bundled story model; __main__.py runs it, if torch is installed."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import click
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from safetensors.torch import save

from tinyllm.errors import TinyllmError, UserError
from tinyllm.models.training.corpus import Corpus, read_stories, train_tokenizer
from tinyllm.models.training.network import greedy
from tinyllm.models.training.trainer import Recipe, Training, measure

console = Console(stderr=True)

CHECKPOINT = "checkpoint.pt"


def train(text: Path, valid: Path, out: Path, recipe: Recipe, scratch: Path) -> Training:
    """Train a model from the stories of `text`, keep the weights best on `valid`, write the folder `out`.

    Raises UserError for a bad text, a folder that cannot be made, or a checkpoint of another run in `scratch`; all
    before the long work begins.
    """
    torch.set_num_threads(1)
    stories, held_out = read_stories(text), read_stories(valid)
    for folder in (out, scratch):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder}: cannot be made ({error.strerror}); give a folder to write into") from error
    tokenizer = train_tokenizer(stories, recipe.shape.vocab_size)
    training = Training(recipe, Corpus(stories, tokenizer), Corpus(held_out, tokenizer), scratch / CHECKPOINT)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        task = progress.add_task("training", total=recipe.steps)

        def report(step: int, loss: float, valid_loss: float | None) -> None:
            progress.update(task, completed=step, description=f"loss {loss:.3f}")
            if valid_loss is not None:
                progress.console.print(f"step {step}: training loss {loss:.4f}, validation loss {valid_loss:.4f}")

        training.run(report)
    write_folder(training, tokenizer, out)
    return training


def write_folder(training: Training, tokenizer: bytes, out: Path) -> None:
    """Put config.json, model.safetensors and tokenizer.model into the folder `out`, each whole or not at all."""
    with tempfile.TemporaryDirectory(dir=out, prefix=".partial-") as folder:
        partial = Path(folder)
        config = json.dumps(training.recipe.shape.config(), indent=2)
        (partial / "config.json").write_text(config + "\n", encoding="utf-8")
        (partial / "tokenizer.model").write_bytes(tokenizer)
        (partial / "model.safetensors").write_bytes(save(training.best, metadata={"format": "pt"}))
        for file in sorted(partial.iterdir()):
            file.replace(out / file.name)


_PATH = click.Path(path_type=Path)


@click.command()
@click.option("--text", type=_PATH, required=True, help="Stories to learn from, a line <|endoftext|> between them.")
@click.option("--valid", type=_PATH, required=True, help="Stories held out, to choose the best weights by.")
@click.option("--out", type=_PATH, required=True, help="Folder to write the model into.")
@click.option("--scratch", type=_PATH, help="Folder of the checkpoint to resume from; default: a temporary one.")
@click.option("--steps", type=click.IntRange(min=1), help="Updates; default: the recipe's own number.")
@click.option("--fresh", is_flag=True, help="Forget the checkpoint of an earlier run.")
@click.pass_context
def command(
    ctx: click.Context, text: Path, valid: Path, out: Path, scratch: Path | None, steps: int | None, fresh: bool
) -> None:
    """Train a model of about 260,000 parameters on short stories, on one core, and write it in Hugging Face layout."""
    try:
        scratch = scratch or Path(tempfile.gettempdir()) / f"tinyllm-train-{out.resolve().name}"
        if fresh:
            (scratch / CHECKPOINT).unlink(missing_ok=True)
        recipe = Recipe() if steps is None else replace(Recipe(), steps=steps)
        training = train(text, valid, out, recipe, scratch)
    except TinyllmError as error:
        console.print(f"error: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
        ctx.exit(error.exit_code)
    figures = measure(training.best, recipe.shape, training.valid)
    console.print(
        f"{out}: {sum(w.numel() for w in training.best.values())} parameters; on {valid}, {figures.tokens} tokens: "
        f"loss {figures.loss:.4f}, perplexity {figures.perplexity:.3f} a token, {figures.byte_perplexity:.4f} a byte"
    )
    processor = training.valid.processor
    ids = greedy(training.best, recipe.shape, [processor.bos_id()], processor.eos_id())
    console.print(processor.decode(ids), markup=False)
