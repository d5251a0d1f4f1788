"""Verbs that prove: verify (the C or a board against the reference) and eval (the integers against the floats)."""

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
from tinyllm.host.expected import expected_of
from tinyllm.host.options import (
    ContextOption,
    JsonOption,
    ModelArgument,
    PortOption,
    Seed,
    TokenizerOption,
    VirtualOption,
)
from tinyllm.host.output import Output
from tinyllm.host.proving import COUNT, prove
from tinyllm.host.talking import HOST, Wanted, attach

DEFAULT_TEMPERATURES = [0.0, 0.8]
TEXT_LIMIT = 64 * 2**20
"""Bytes of a text to evaluate on."""


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
    context: ContextOption = None,
    tokenizer: TokenizerOption = None,
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
        exact = _verify_library(model, tokenizer, context, builds or ["O2"], temperatures, seed, positions, output)
    elif builds:
        raise UserError("--build is about the C as a library of this computer; leave it out with a board.")
    else:
        wanted = Wanted(model, tokenizer, board or HOST, port, context, virtual)
        exact = _verify_board(wanted, temperatures, seed, positions or COUNT, output)
    if not exact:
        raise typer.Exit(1)


def _verify_library(
    model: str | None,
    tokenizer: Path | None,
    context: int | None,
    builds: list[str],
    temperatures: list[float],
    seed: int,
    positions: int | None,
    output: Output,
) -> bool:
    """The emitted C as a library of this computer: every position, and the KV cache too."""
    choice = choose(model, tokenizer)
    with output.working(f"quantizing {choice.name}"):
        integers = quantize(choice.model, choice.context(context))
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
        expected = expected_of(facts, wanted.model, wanted.tokenizer)
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
