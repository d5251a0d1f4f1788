"""The verb eval: the perplexity of the float model, and of the integer model that a board runs."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from tinyllm.codegen.arithmetic.float_model import LARGEST_CONTEXT
from tinyllm.codegen.verify.perplexity import Evaluation, Tokens, split_stories
from tinyllm.errors import UserError
from tinyllm.host.api.model import LanguageModel
from tinyllm.host.cli.calibration import calibrate
from tinyllm.host.cli.model_options import MODEL_HELP, load_options, model_argument
from tinyllm.host.cli.options import json_option
from tinyllm.host.cli.result_file import check_plot, save_plot
from tinyllm.host.model.load import DEFAULT_CONTEXT, LoadOptions, read_text
from tinyllm.host.model.trim_report import compare, saving_line, sequences_of
from tinyllm.host.model.variants import FP32, Variant, parse_variants, variants_of
from tinyllm.host.model.weights import Weights
from tinyllm.host.output import Output
from tinyllm.host.prove.plots import Plot


@click.command(epilog=MODEL_HELP)
@model_argument
@click.option(
    "--text",
    metavar="FILE",
    type=click.Path(path_type=Path),
    required=True,
    help="UTF-8, stories separated by <|endoftext|>.",
)
@click.option(
    "--max-tokens",
    metavar="N",
    type=click.IntRange(2, LARGEST_CONTEXT),
    default=256,
    show_default=True,
    help="Tokens of each story, BOS included.",
)
@click.option(
    "--variants",
    metavar="LIST",
    help="Formats of the weights to compare, with their bytes: fp32,int8,int4,mixed:600KB.",
)
@click.option(
    "--plot",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Draw perplexity against bytes of the variants, as SVG; needs the extra tinyllm[plots].",
)
@load_options
@json_option
def command(
    model: str | None,
    text: Path,
    max_tokens: int,
    variants: str | None,
    plot: Path | None,
    options: LoadOptions,
    as_json: bool,
) -> None:
    """Measure the perplexity on a text: the float model, and the integers that a board computes with."""
    output = Output(as_json)
    formats = None if variants is None else parse_variants(variants)
    if formats is not None and (options.weights or options.fit_to):
        raise UserError("--variants names the formats itself; leave out --weights and --fit-to.")
    if plot is not None:
        _check_plot(plot, variants)
    if options.context is None and max_tokens > DEFAULT_CONTEXT:
        options = replace(options, context=max_tokens)
    loaded = LanguageModel.read(model, options)
    stories = split_stories(read_text(text))
    facts: dict[str, Any] = {"model": loaded.name, "text": str(text), "max_tokens": max_tokens, "stories": len(stories)}
    if formats is not None:
        sequences = sequences_of(loaded, stories, max_tokens)
        tokens = sum(map(len, sequences))
        found = _measured(loaded, formats, sequences, output)
        if plot is not None:
            _draw(plot, f"{loaded.name} on {text.name}", found, output)
        if as_json:
            output.document(facts | {"tokens": tokens, "variants": [asdict(variant) for variant in found]})
            return
        output.line(f"{loaded.name} on {text.name}: {_many(stories)}, {tokens:,} tokens", style="bold")
        output.table(["variant", "perplexity", "ratio", "kl", "top-1", "bytes of weights"], list(map(_row, found)))
        return
    effect = None
    calibrate(loaded, output)
    with output.progress(f"evaluating {loaded.name} on {_many(stories)}") as report:
        if loaded.whole is not None:
            total = 2 * len(stories)
            effect = compare(loaded.whole, loaded, stories, max_tokens, progress=lambda done: report(done, total))
            result, results = effect.trimmed, {" whole": effect.whole, " trimmed": effect.trimmed}
            facts |= {"whole": _variants(effect.whole, str(loaded.weights)), "same_tokens": effect.same_tokens}
        else:
            result = loaded.perplexity(text, max_tokens, report)
            results = {"": result}
    if as_json:
        facts |= {"saving": loaded.saving and asdict(loaded.saving)}
        facts |= {"tokens": result.tokens, "predicted": result.predicted}
        output.document(facts | {"variants": _variants(result, str(loaded.weights))})
        return
    output.line(f"{loaded.name} on {text.name}: {_many(stories)}, {result.tokens:,} tokens", style="bold")
    rows = []
    for name, one in results.items():
        rows.append([f"{FP32}{name}", f"{one.fp32_perplexity:.4f}", "1", "", ""])
        figures = [f"{one.integer_perplexity:.4f}", f"{one.ratio:.5f}", f"{one.kl:.5f}", f"{one.top1_agreement:.2%}"]
        rows.append([f"{loaded.weights}{name}", *figures])
    output.table(["variant", "perplexity", "ratio", "kl", "top-1"], rows)
    if loaded.saving is not None and effect is not None:
        output.line(saving_line(loaded.saving))
        output.line(effect.comparability())


def _measured(
    loaded: LanguageModel, formats: list[Weights | None], sequences: list[Tokens], output: Output
) -> list[Variant]:
    """The variants, calibrated one after the other and then measured together."""
    for weights in formats:
        if weights is not None and weights.kind != "int8":
            calibrate(replace(loaded, weights=weights), output)
    with output.progress(f"evaluating {len(formats)} variants of {loaded.name}") as report:
        return variants_of(loaded, formats, sequences, lambda done: report(done, len(sequences)))


def _many(stories: list[str]) -> str:
    return f"{len(stories)} {'story' if len(stories) == 1 else 'stories'}"


def _variants(result: Evaluation, weights: str) -> list[dict[str, Any]]:
    return [
        {"name": FP32, "perplexity": result.fp32_perplexity},
        {
            "name": weights,
            "perplexity": result.integer_perplexity,
            "ratio": result.ratio,
            "kl": result.kl,
            "top1_agreement": result.top1_agreement,
        },
    ]


def _row(variant: Variant) -> list[str]:
    size = f"{variant.bytes:,}"
    if variant.name == FP32:
        return [FP32, f"{variant.perplexity:.4f}", "1", "", "", size]
    figures = [
        f"{variant.perplexity:.4f}",
        f"{variant.ratio:.5f}",
        f"{variant.kl:.5f}",
        f"{variant.top1_agreement:.2%}",
    ]
    return [variant.name, *figures, size]


def _check_plot(plot: Path, variants: str | None) -> None:
    """Raise UserError before the work if there are no variants, no matplotlib, or the file cannot be written."""
    if variants is None:
        raise UserError("--plot draws the variants of --variants; name some, as in --variants int8,int4,mixed.")
    check_plot(plot)


def _draw(path: Path, title: str, found: list[Variant], output: Output) -> None:
    from tinyllm.host.prove.pictures import draw  # matplotlib: an extra

    rows = {variant.name: {str(variant.bytes): variant.perplexity} for variant in found if variant.name != FP32}
    floats = {variant.name: {"": variant.perplexity} for variant in found if variant.name == FP32}
    save_plot(path, draw(Plot("variants", title, "perplexity", "points", rows | floats)), output)
