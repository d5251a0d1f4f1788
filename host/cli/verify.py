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
from tinyllm.host.connect.attach import HOST, Wanted, attach
from tinyllm.host.model.load import AS_IT_IS, DEFAULT_CONTEXT, Reading, choose, read_text
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
    reading: Reading = AS_IT_IS,
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
        exact = _verify_library(model, reading, builds or ["O2"], temperatures, seed, positions, output)
    elif builds:
        raise UserError("--build is about the C as a library of this computer; leave it out with a board.")
    else:
        wanted = Wanted(model, reading, HOST if board is None else board, port, virtual)
        exact = _verify_board(wanted, temperatures, seed, positions or COUNT, output)
    if not exact:
        raise typer.Exit(1)


def _verify_library(
    model: str | None,
    reading: Reading,
    builds: list[str],
    temperatures: list[float],
    seed: int,
    positions: int | None,
    output: Output,
) -> bool:
    """The emitted C as a library of this computer: every position, and the KV cache too."""
    choice = choose(model, reading)
    if choice.saving is not None:
        output.note(saving_line(choice.saving))
    with output.working(f"quantizing {choice.name}"):
        integers = quantize(choice.model, choice.context)
    verdicts = []
    with output.working(f"verifying {choice.name}") as step:
        for verdict in verify_builds(integers, choice.tokenizer, builds, temperatures, seed, positions, step):
            verdicts.append(verdict)
            if not output.as_json:
                output.line(f"{verdict}  ({verdict.build}, temperature {verdict.temperature:g})")
                if verdict.difference:
                    output.line(f"  first difference: {verdict.difference}", style="red")
    exact = all(verdict.difference is None for verdict in verdicts)
    if output.as_json:
        runs = [asdict(verdict) for verdict in verdicts]
        output.document({"model": choice.name, "context": integers.config.context, "bit_exact": exact, "runs": runs})
    return exact


def _verify_board(wanted: Wanted, temperatures: list[float], seed: int, count: int, output: Output) -> bool:
    """A running board, over its own protocol: its logits at some positions and all tokens."""
    agreements = []
    with attach(wanted, output) as attachment, attachment.open() as link:
        facts = link.facts
        expected = expected_of(facts, wanted.model, wanted.reading)
        with output.working(f"verifying {facts.model} on {facts.board}") as step:
            for agreement in prove(link, expected, temperatures, seed, count, step):
                agreements.append(agreement)
                if not output.as_json:
                    how = "logits" if agreement.temperature is None else f"temperature {agreement.temperature:g}"
                    output.line(f"{agreement}  ({facts.board}, {how})")
                    if agreement.difference:
                        output.line(f"  first difference: {agreement.difference}", style="red")
    exact = all(agreement.difference is None for agreement in agreements)
    if output.as_json:
        output.document(
            {
                "model": facts.model,
                "model_hash": facts.model_hash,
                "board": facts.board,
                "build_id": facts.build_id,
                "context": facts.context,
                "bit_exact": exact,
                "runs": [asdict(agreement) for agreement in agreements],
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
    reading: Reading = AS_IT_IS,
    as_json: JsonOption = False,
) -> None:
    """Perplexity on a text: the float model, and the integers that a board computes with."""
    output = Output(as_json)
    if reading.context is None and max_tokens > DEFAULT_CONTEXT:
        reading = replace(reading, context=max_tokens)
    choice = choose(model, reading)
    stories = split_stories(read_text(text))
    facts: dict[str, Any] = {"model": choice.name, "text": str(text), "max_tokens": max_tokens, "stories": len(stories)}
    effect = None
    with output.progress(f"evaluating {choice.name} on {len(stories)} stories") as report:
        if choice.whole is not None:
            total = 2 * len(stories)
            effect = compare(choice.whole, choice, stories, max_tokens, progress=lambda done: report(done, total))
            result, results = effect.trimmed, {" whole": effect.whole, " trimmed": effect.trimmed}
            facts |= {"whole": _variants(effect.whole), "same_tokens": effect.same_tokens}
        else:
            sequences = sequences_of(choice, stories, max_tokens)
            integers = quantize(choice.model, choice.context)
            result = evaluate_both(choice.model, integers, sequences, lambda done: report(done, len(stories)))
            results = {"": result}
    if as_json:
        facts |= {"saving": choice.saving and asdict(choice.saving)}
        output.document(facts | {"tokens": result.tokens, "predicted": result.predicted, "variants": _variants(result)})
        return
    output.line(f"{choice.name} on {text.name}: {len(stories)} stories, {result.tokens:,} tokens", style="bold")
    rows = []
    for name, one in results.items():
        rows.append([f"fp32{name}", f"{one.fp32_perplexity:.4f}", "1", "", ""])
        figures = [f"{one.int8_perplexity:.4f}", f"{one.ratio:.5f}", f"{one.kl:.5f}", f"{one.top1_agreement:.2%}"]
        rows.append([f"int8{name}", *figures])
    output.table(["variant", "perplexity", "ratio", "kl", "top-1"], rows)
    if choice.saving is not None and effect is not None:
        output.line(saving_line(choice.saving))
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
