"""The verb train: trains a small model on text or pairs and writes its folder."""

from __future__ import annotations

import importlib.util
import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from tinyllm.errors import UserError
from tinyllm.host.cli.options import json_option
from tinyllm.host.cli.train_fit import warn_of_boards
from tinyllm.host.cli.train_progress import Line, duration
from tinyllm.host.output import Output
from tinyllm.models.training.shape import PRESETS, shape_of

if TYPE_CHECKING:
    from tinyllm.models.training.train import Job
    from tinyllm.models.training.trainer import Measure, Recipe

INTERRUPTED = 130
FINE_TUNED = 0.2
"""Factor of the learning rates if training begins with trained weights (--from)."""
TEACHER_PART = 0.8
FIXED = ("preset", "dim", "heads", "head_dim", "share_blocks", "untied", "vocab")
"""Options that --from excludes, because the trained weights decide them."""
VALIDATIONS = 20
"""The approximate number of validations in a training."""

_PATH = click.Path(path_type=Path)
_COUNT = click.IntRange(1)
EPILOG = f"Presets: {', '.join(f'{name} ({shape.n_parameters:,} parameters)' for name, shape in PRESETS.items())}."


@click.command(epilog=EPILOG)
@click.option("--text", "texts", metavar="FILE", type=_PATH, multiple=True, help="Stories, <|endoftext|> between them.")
@click.option("--pairs", metavar="FILE", type=_PATH, multiple=True, help="Conversations: JSONL or TSV.")
@click.option("--valid", metavar="FILE", type=_PATH, multiple=True, help="To choose the best weights by; else a part.")
@click.option("--out", metavar="FOLDER", type=_PATH, required=True, help="The folder to write the model into.")
@click.option(
    "--preset", metavar="SIZE", default="260k", show_default=True, help="Dimensions by parameters; see below."
)
@click.option("--dim", metavar="N", type=_COUNT, help="Of the residual stream; best a multiple of 16.")
@click.option("--hidden", metavar="N", type=_COUNT, help="Of the feed-forward layer.")
@click.option("--blocks", metavar="N", type=_COUNT, help="That are stored.")
@click.option("--heads", metavar="N", type=_COUNT, help="Of queries.")
@click.option("--kv-heads", metavar="N", type=_COUNT, help="Of keys and values; fewer share them (grouped queries).")
@click.option("--head-dim", metavar="N", type=_COUNT, help="Numbers of a head, even.")
@click.option("--context", metavar="N", type=click.IntRange(16, 8192), help="Tokens that the model sees.")
@click.option("--share-blocks", is_flag=True, help="Run each stored block twice in a row, as MobileLLM-LS.")
@click.option("--untied", is_flag=True, help="A head of its own, not the embedding.")
@click.option("--vocab", metavar="N", type=click.IntRange(264, 65536), help="Pieces of the tokenizer.")
@click.option("--tokenizer", "algorithm", type=click.Choice(["bpe", "unigram"]), default="bpe", show_default=True)
@click.option("--chat-tokens", is_flag=True, help="Control pieces for chats, in a story model to be tuned on pairs.")
@click.option("--steps", metavar="N", type=_COUNT, help="Updates; default 5000.")
@click.option("--minutes", metavar="M", type=click.FloatRange(0.05), help="As many steps as this time allows.")
@click.option("--tokens", metavar="N", type=click.IntRange(16), default=2048, show_default=True, help="Of a step.")
@click.option("--seed", metavar="N", type=int, default=260, show_default=True, help="The same gives the same weights.")
@click.option(
    "--cores", metavar="N", type=click.IntRange(1, 64), default=1, show_default=True, help="Share each batch."
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--from", "origin", metavar="MODEL", type=_PATH, help="Begin with the weights of another (fine-tuning).")
@click.option("--teacher", metavar="MODEL", type=_PATH, help="Learn from a larger checkpoint's distribution too.")
@click.option("--quantise", type=click.Choice(["int8", "int4"]), help="Round weights in the forward pass, late.")
@click.option("--rate", metavar="X", type=click.FloatRange(0.001, 10), help="Factor of the learning rates.")
@click.option("--dropout", metavar="P", type=click.FloatRange(0, 0.9), default=0.05, show_default=True)
@click.option("--prompt", "prompts", metavar="TEXT", multiple=True, help="For the samples.")
@click.option("--licence", metavar="NAME", help="Of the weights, for the card: mit.")
@click.option("--data", metavar="TEXT", help="What the data are and under which licence, for the card.")
@click.option("--fresh", is_flag=True, help="Forget the checkpoint of an interrupted training.")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    texts: tuple[Path, ...],
    pairs: tuple[Path, ...],
    valid: tuple[Path, ...],
    out: Path,
    preset: str,
    dim: int | None,
    hidden: int | None,
    blocks: int | None,
    heads: int | None,
    kv_heads: int | None,
    head_dim: int | None,
    context: int | None,
    share_blocks: bool,
    untied: bool,
    vocab: int | None,
    algorithm: str,
    chat_tokens: bool,
    steps: int | None,
    minutes: float | None,
    tokens: int,
    seed: int,
    cores: int,
    device: str,
    origin: Path | None,
    teacher: Path | None,
    quantise: str | None,
    rate: float | None,
    dropout: float,
    prompts: tuple[str, ...],
    licence: str | None,
    data: str | None,
    fresh: bool,
    as_json: bool,
) -> None:
    """Train a small model from text or pairs, and write a Hugging Face folder that every other verb takes.

    Ctrl-C saves the training; the same command goes on with it, with the same result as without the pause.
    """
    output = Output(as_json)
    if bool(texts) == bool(pairs):
        raise UserError("give --text FILE for stories, or --pairs FILE for conversations: one of the two")
    if steps is not None and minutes is not None:
        raise UserError("--steps and --minutes both say how long; leave one out")
    for name in FIXED if origin else ():
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise UserError(
                f"--{name.replace('_', '-')} with --from: the shape is that of {origin}; --blocks and --hidden can be "
                "larger, --kv-heads and --context smaller"
            )
    if importlib.util.find_spec("torch") is None:
        raise UserError("training needs torch, which is not installed; run: pip install 'tinyllm[train]'")
    shape = shape_of(
        preset,
        dim=dim,
        hidden_dim=hidden,
        blocks=blocks,
        n_heads=heads,
        n_kv_heads=kv_heads,
        head_dim=head_dim,
        vocab_size=vocab,
        context=context,
        shared=share_blocks,
        tied=not untied,
    )

    from tinyllm.models.training.beginning import Origin  # torch: an extra
    from tinyllm.models.training.rounding import Rounding
    from tinyllm.models.training.train import Data, Description, Machine, Sources, devices, prepare
    from tinyllm.models.training.trainer import Recipe

    recipe = Recipe(
        shape=shape,
        seed=seed,
        tokens=tokens,
        rate_scale=rate or (FINE_TUNED if origin else 1.0),
        dropout=dropout,
        rounding=Rounding(quantise or "none"),
        rounding_from=0.0 if origin else Recipe.rounding_from,
        # Short rows would make a trained model forget what it knows of later positions.
        short_part=0.0 if origin else Recipe.short_part,
        teacher_part=TEACHER_PART if teacher else 0.0,
    )
    if device == "cuda" and "cuda" not in devices():
        raise UserError("--device cuda: torch sees no such GPU here; leave the option out")
    chosen = devices()[0] if device == "auto" else device
    if cores > 1 and chosen != "cpu":
        raise UserError(f"--cores {cores}: for a training on the CPU, and this one is on {chosen}; add --device cpu")
    with output.working("reading the text and making the tokenizer"):
        job = prepare(
            Data(texts or pairs, valid, bool(pairs), chat_tokens, algorithm),
            Sources(None if origin is None else Origin(origin, blocks, hidden, kv_heads), teacher),
            _paced(recipe, steps),
            Machine(cores, chosen, minutes),
            out,
            prompts,
            steps,
            fresh,
        )
    _tell(output, job)
    warn_of_boards(output, job.recipe.shape.model_config(out.name), job.vocabulary.tokenizer, out)
    if not _run(output, job):
        path = job.training.checkpoint
        output.note(f"stopped after step {job.training.step:,}, which is saved in {path}. To go on:", style="")
        output.note(command_line(ctx, leave_out=("fresh",)), style="")
        if as_json:
            output.document({"out": str(out), "stopped": job.training.step, "steps": job.recipe.steps})
        ctx.exit(INTERRUPTED)
    again = command_line(ctx, leave_out=("fresh", "minutes", "steps"), more=("--steps", str(job.recipe.steps)))
    plot = _plot(output, job)
    figures = job.finish(Description(licence, data, again), {} if plot is None else {"loss.svg": plot})
    _show(output, job, figures)


def _paced(recipe: Recipe, steps: int | None) -> Recipe:
    """The recipe with about VALIDATIONS validations."""
    return replace(recipe, validate_every=max(1, (steps or recipe.steps) // VALIDATIONS))


def _tell(output: Output, job: Job) -> None:
    corpus, recipe = job.training.corpus, job.recipe
    count = sum(len(document.ids) for document in corpus.train)
    output.note(
        f"{len(corpus.train):,} {job.kind}, {count:,} tokens; {len(corpus.valid):,} held out; "
        f"{recipe.shape.n_parameters:,} parameters, {recipe.steps:,} steps on {job.machine.device}"
    )
    if job.skipped:
        output.warning(
            f"{job.skipped:,} conversations are longer than the context of {recipe.shape.context} and left "
            f"out, the first at {job.first_skipped}; --context can be larger"
        )
    if job.resumed:
        output.note(f"going on after step {job.training.step:,}")


def _run(output: Output, job: Job) -> bool:
    """Train with a line of progress. False if SIGINT (Ctrl-C) or SIGTERM stopped it."""
    with stopping() as asked, output.working("training") as show:
        line = Line(output, show, job.recipe.steps, lambda: job.samples())
        return job.run(line.report, lambda: bool(asked))


@contextmanager
def stopping() -> Iterator[list[int]]:
    """Yield a list to which the first SIGINT or SIGTERM is added. The second one raises KeyboardInterrupt."""
    asked: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _plot(output: Output, job: Job) -> str | None:
    """A plot of the loss as SVG; None without matplotlib."""
    if importlib.util.find_spec("matplotlib") is None:
        output.note("no loss.svg: matplotlib is not installed; pip install 'tinyllm[train]'")
        return None
    from tinyllm.host.prove.pictures import draw  # matplotlib: an extra
    from tinyllm.host.prove.plots import Plot

    history = job.training.history
    rows = {
        "training": {str(step): loss for step, loss, _ in history},
        "validation": {str(step): loss for step, _, loss in history},
    }
    return draw(Plot("loss", f"{job.out.resolve().name}: loss", "nats a token", "lines", rows))


def _show(output: Output, job: Job, figures: Measure) -> None:
    shape, speed, names = job.recipe.shape, job.read / max(job.seconds, 1e-9), ("step", "training", "validation")
    if output.as_json:
        output.document(
            {
                "out": str(job.out),
                "parameters": shape.n_parameters,
                "steps": job.recipe.steps,
                "seed": job.recipe.seed,
                "loss": figures.loss,
                "perplexity": figures.perplexity,
                "byte_perplexity": figures.byte_perplexity,
                "held_out_tokens": figures.tokens,
                "seconds": round(job.seconds, 1),
                "tokens_per_second": round(speed),
                "history": [dict(zip(names, row, strict=True)) for row in job.training.history],
            }
        )
        return
    output.line(
        f"{job.out}: {shape.n_parameters:,} parameters; on {len(job.training.corpus.valid):,} held-out {job.kind}, "
        f"{figures.tokens:,} tokens: loss {figures.loss:.4f}, perplexity {figures.perplexity:.3f} a token, "
        f"{figures.byte_perplexity:.4f} a byte"
    )
    output.note(f"{duration(job.seconds)} at {speed:,.0f} tokens/s. Next: tinyllm chat {job.out}")


def command_line(ctx: click.Context, leave_out: tuple[str, ...] = (), more: tuple[str, ...] = ()) -> str:
    """The command as it was given, quoted for a shell. leave_out: options to drop. more: words to add."""
    words = ["tinyllm", "train"]
    for parameter in ctx.command.params:
        name = parameter.name or ""
        if name in (*leave_out, "as_json") or ctx.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        value = ctx.params[name]
        for each in value if isinstance(value, tuple) else (value,):
            words += [parameter.opts[0]] if each is True else [parameter.opts[0], str(each)]
    return shlex.join([*words, *more])
