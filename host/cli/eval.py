"""The verb eval: the perplexity of the float model, and of the integers that a board computes with."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from tinyllm.codegen.arithmetic.integer_model import LARGEST_CONTEXT
from tinyllm.codegen.verify.perplexity import Evaluation, split_stories
from tinyllm.host.api.model import LanguageModel
from tinyllm.host.cli.model_options import MODEL_HELP, load_options, model_argument
from tinyllm.host.cli.options import json_option
from tinyllm.host.model.load import DEFAULT_CONTEXT, LoadOptions, read_text
from tinyllm.host.model.trim_report import compare, saving_line
from tinyllm.host.output import Output


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
@load_options
@json_option
def command(model: str | None, text: Path, max_tokens: int, options: LoadOptions, as_json: bool) -> None:
    """Measure the perplexity on a text: the float model, and the integers that a board computes with."""
    output = Output(as_json)
    if options.context is None and max_tokens > DEFAULT_CONTEXT:
        options = replace(options, context=max_tokens)
    loaded = LanguageModel.read(model, options)
    stories = split_stories(read_text(text))
    facts: dict[str, Any] = {"model": loaded.name, "text": str(text), "max_tokens": max_tokens, "stories": len(stories)}
    effect = None
    with output.progress(f"evaluating {loaded.name} on {len(stories)} stories") as report:
        if loaded.whole is not None:
            total = 2 * len(stories)
            effect = compare(loaded.whole, loaded, stories, max_tokens, progress=lambda done: report(done, total))
            result, results = effect.trimmed, {" whole": effect.whole, " trimmed": effect.trimmed}
            facts |= {"whole": _variants(effect.whole), "same_tokens": effect.same_tokens}
        else:
            result = loaded.perplexity(text, max_tokens, report)
            results = {"": result}
    if as_json:
        facts |= {"saving": loaded.saving and asdict(loaded.saving)}
        output.document(facts | {"tokens": result.tokens, "predicted": result.predicted, "variants": _variants(result)})
        return
    output.line(f"{loaded.name} on {text.name}: {len(stories)} stories, {result.tokens:,} tokens", style="bold")
    rows = []
    for name, one in results.items():
        rows.append([f"fp32{name}", f"{one.fp32_perplexity:.4f}", "1", "", ""])
        figures = [f"{one.int8_perplexity:.4f}", f"{one.ratio:.5f}", f"{one.kl:.5f}", f"{one.top1_agreement:.2%}"]
        rows.append([f"int8{name}", *figures])
    output.table(["variant", "perplexity", "ratio", "kl", "top-1"], rows)
    if loaded.saving is not None and effect is not None:
        output.line(saving_line(loaded.saving))
        output.line(effect.comparability())


def _variants(result: Evaluation) -> list[dict[str, Any]]:
    return [
        {"name": "fp32", "perplexity": result.fp32_perplexity},
        {
            "name": "int8",
            "perplexity": result.int8_perplexity,
            "ratio": result.ratio,
            "kl": result.kl,
            "top1_agreement": result.top1_agreement,
        },
    ]
