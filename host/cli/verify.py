"""Verbs that prove: verify (the C or a board against the reference) and eval (the integers against the floats)."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.verify.library import BUILDS
from tinyllm.codegen.verify.perplexity import Evaluation, split_stories
from tinyllm.codegen.verify.perplexity import evaluate as evaluate_both
from tinyllm.codegen.verify.verify import verify as verify_builds
from tinyllm.errors import UserError
from tinyllm.host.cli.options import (
    JsonOption,
    ModelArgument,
    PortOption,
    Seed,
    VirtualOption,
    reads_model,
)
from tinyllm.host.connect.attach import HOST, BoardRequest, attach
from tinyllm.host.model.load import AS_STORED, DEFAULT_CONTEXT, LoadOptions, load_model, read_text
from tinyllm.host.model.trim_report import compare, saving_line, sequences_of
from tinyllm.host.output import Output
from tinyllm.host.prove.expected_answers import expected_of
from tinyllm.host.prove.prove import COUNT, prove

DEFAULT_TEMPERATURES = [0.0, 0.8]


@reads_model
def verify(
    model: ModelArgument = None,
    board: Annotated[
        str | None,
        typer.Option("--board", metavar="NAME", help="Prove a running board instead, over its serial protocol."),
    ] = None,
    virtual: VirtualOption = False,
    port: PortOption = None,
    builds: Annotated[
        list[str] | None,
        typer.Option("--build", metavar="NAME", help=f"How to compile: {', '.join(BUILDS)}; repeatable. Default: O2."),
    ] = None,
    temperatures: Annotated[
        list[float], typer.Option("--temperature", metavar="T", help="Sample with it; repeatable.")
    ] = DEFAULT_TEMPERATURES,
    seed: Seed = 1,
    positions: Annotated[
        int | None,
        typer.Option(
            "--positions", metavar="N", help=f"How many to compare; default: the context, of a board {COUNT}."
        ),
    ] = None,
    options: LoadOptions = AS_STORED,
    as_json: JsonOption = False,
) -> None:
    """Compare the emitted C with the reference, bit by bit: logits, KV cache and sampled tokens.

    With --board or --port a running board is compared: its logits and tokens.
    """
    output = Output(as_json)
    for name in builds or ():
        if name not in BUILDS:
            raise UserError(f"--build {name}: expected one of {', '.join(BUILDS)}.")
    if positions is not None and positions < 1:
        raise UserError(f"--positions {positions}: expected at least 1.")
    if board is None and port is None and not virtual:
        exact = _verify_library(model, options, builds or ["O2"], temperatures, seed, positions, output)
    elif builds:
        raise UserError("--build is about the C as a library of this computer; leave it out with a board.")
    else:
        request = BoardRequest(model, options, HOST if board is None else board, port, virtual)
        exact = _verify_board(request, temperatures, seed, positions or COUNT, output)
    if not exact:
        raise typer.Exit(1)


def _verify_library(
    model: str | None,
    options: LoadOptions,
    builds: list[str],
    temperatures: list[float],
    seed: int,
    positions: int | None,
    output: Output,
) -> bool:
    """The emitted C as a library of this computer: every position, and the KV cache too."""
    loaded = load_model(model, options)
    if loaded.saving is not None:
        output.note(saving_line(loaded.saving))
    with output.working(f"quantizing {loaded.name}"):
        integers = quantize(loaded.model, loaded.context)
    verdicts = []
    with output.working(f"verifying {loaded.name}") as step:
        for verdict in verify_builds(integers, loaded.tokenizer, builds, temperatures, seed, positions, step):
            verdicts.append(verdict)
            if not output.as_json:
                output.line(f"{verdict}  ({verdict.build}, temperature {verdict.temperature:g})")
                if verdict.difference:
                    output.line(f"  first difference: {verdict.difference}", style="red")
    exact = all(verdict.difference is None for verdict in verdicts)
    if output.as_json:
        runs = [asdict(verdict) for verdict in verdicts]
        output.document({"model": loaded.name, "context": integers.config.context, "bit_exact": exact, "runs": runs})
    return exact


def _verify_board(request: BoardRequest, temperatures: list[float], seed: int, count: int, output: Output) -> bool:
    """A running board, over its own protocol: its logits at some positions and all tokens."""
    comparisons = []
    with attach(request, output) as connection, connection.open() as link:
        hello = link.hello
        expected = expected_of(hello, request.model, request.options)
        with output.working(f"verifying {hello.model} on {hello.board}") as step:
            for comparison in prove(link, expected, temperatures, seed, count, step):
                comparisons.append(comparison)
                if not output.as_json:
                    how = "logits" if comparison.temperature is None else f"temperature {comparison.temperature:g}"
                    output.line(f"{comparison}  ({hello.board}, {how})")
                    if comparison.difference:
                        output.line(f"  first difference: {comparison.difference}", style="red")
    exact = all(comparison.difference is None for comparison in comparisons)
    if output.as_json:
        output.document(
            {
                "model": hello.model,
                "model_hash": hello.model_hash,
                "board": hello.board,
                "build_id": hello.build_id,
                "context": hello.context,
                "bit_exact": exact,
                "runs": [asdict(comparison) for comparison in comparisons],
            }
        )
    return exact


@reads_model
def evaluate(
    text: Annotated[Path, typer.Option("--text", metavar="FILE", help="UTF-8, stories separated by <|endoftext|>.")],
    model: ModelArgument = None,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", metavar="N", min=2, help="Tokens of each story, BOS included.")
    ] = 256,
    options: LoadOptions = AS_STORED,
    as_json: JsonOption = False,
) -> None:
    """Perplexity on a text: the float model, and the integers that a board computes with."""
    output = Output(as_json)
    if options.context is None and max_tokens > DEFAULT_CONTEXT:
        options = replace(options, context=max_tokens)
    loaded = load_model(model, options)
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
            sequences = sequences_of(loaded, stories, max_tokens)
            integers = quantize(loaded.model, loaded.context)
            result = evaluate_both(loaded.model, integers, sequences, lambda done: report(done, len(stories)))
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
