"""Verbs that prove: verify (the C against the reference) and eval (the integers against the floats)."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tinyllm.boards.errors import UserError
from tinyllm.codegen.evaluate import evaluate as evaluate_both
from tinyllm.codegen.evaluate import evaluation_sequences
from tinyllm.codegen.files import read_bytes
from tinyllm.codegen.hostlib import BUILDS
from tinyllm.codegen.quantize import quantize
from tinyllm.codegen.verify import verify as verify_builds
from tinyllm.host.choosing import DEFAULT_CONTEXT, choose
from tinyllm.host.options import ContextOption, JsonOption, ModelArgument, Seed, TokenizerOption
from tinyllm.host.output import Output

DEFAULT_BUILDS = ["O2"]
DEFAULT_TEMPERATURES = [0.0, 0.8]
TEXT_LIMIT = 64 * 2**20
"""Bytes of a text to evaluate on."""


def verify(
    model: ModelArgument = None,
    builds: Annotated[
        list[str],
        typer.Option("--build", metavar="NAME", help=f"How to compile: {', '.join(BUILDS)}; repeatable."),
    ] = DEFAULT_BUILDS,
    temperatures: Annotated[
        list[float], typer.Option("--temperature", metavar="T", help="Sample with it; repeatable.")
    ] = DEFAULT_TEMPERATURES,
    seed: Seed = 1,
    positions: Annotated[
        int | None, typer.Option("--positions", metavar="N", help="How many to compare; default: the context.")
    ] = None,
    context: ContextOption = None,
    tokenizer: TokenizerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the emitted C with the reference, bit by bit: logits, KV cache and sampled tokens."""
    output = Output(as_json)
    for name in builds:
        if name not in BUILDS:
            raise UserError(f"--build {name}: expected one of {', '.join(BUILDS)}.")
    choice = choose(model, tokenizer)
    with output.working(f"quantizing {choice.name}"):
        integers = quantize(choice.model, choice.context(context))
    verdicts = []
    with output.working(f"verifying {choice.name}") as step:
        for verdict in verify_builds(integers, choice.tokenizer, builds, temperatures, seed, positions, step):
            verdicts.append(verdict)
            if not as_json:
                output.line(f"{verdict}  ({verdict.build}, temperature {verdict.temperature:g})")
                if verdict.difference:
                    output.line(f"  first difference: {verdict.difference}", style="red")
    exact = all(verdict.difference is None for verdict in verdicts)
    if as_json:
        runs = [asdict(verdict) for verdict in verdicts]
        output.document({"model": choice.name, "context": integers.config.context, "bit_exact": exact, "runs": runs})
    if not exact:
        raise typer.Exit(1)


def evaluate(
    text: Annotated[Path, typer.Option("--text", metavar="FILE", help="UTF-8, stories separated by <|endoftext|>.")],
    model: ModelArgument = None,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", metavar="N", min=2, help="Tokens of each story, BOS included.")
    ] = 256,
    tokenizer: TokenizerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Perplexity on a text: the float model, and the integers that a board computes with."""
    output = Output(as_json)
    choice = choose(model, tokenizer)
    try:
        content = read_bytes(text, TEXT_LIMIT).decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{text}: not UTF-8 at byte {error.start}; expected a text.") from None
    context = choice.context(max_tokens if max_tokens > DEFAULT_CONTEXT else None)
    with output.working(f"encoding {text.name} and quantizing {choice.name}"):
        sequences = evaluation_sequences(content, choice.tokenizer, max_tokens)
        integers = quantize(choice.model, context)
    with output.progress(f"evaluating {len(sequences)} stories") as report:
        result = evaluate_both(choice.model, integers, sequences, lambda done: report(done, len(sequences)))
    if as_json:
        variants = [
            {"name": "fp32", "perplexity": result.fp32_perplexity},
            {
                "name": "int8",
                "perplexity": result.int8_perplexity,
                "ratio": result.ratio,
                "kl": result.kl,
                "top1_agreement": result.top1_agreement,
            },
        ]
        facts = {"model": choice.name, "text": str(text), "max_tokens": max_tokens, "stories": len(sequences)}
        output.document(facts | {"tokens": result.tokens, "predicted": result.predicted, "variants": variants})
        return
    output.line(f"{choice.name} on {text.name}: {len(sequences)} stories, {result.tokens:,} tokens", style="bold")
    fp32 = ["fp32", f"{result.fp32_perplexity:.4f}", "1", "", ""]
    int8 = ["int8", f"{result.int8_perplexity:.4f}", f"{result.ratio:.5f}", f"{result.kl:.5f}"]
    output.table(["variant", "perplexity", "ratio", "kl", "top-1"], [fp32, [*int8, f"{result.top1_agreement:.2%}"]])
