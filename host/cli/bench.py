"""The verb bench: what a token costs a board, prefilled and generated, and what kind of figure that is."""

from __future__ import annotations

from dataclasses import asdict

import click

from tinyllm.codegen.arithmetic.sampler_settings import U32_MAX
from tinyllm.host.api.board import Board
from tinyllm.host.cli.model_options import MODEL_HELP, load_options, model_argument
from tinyllm.host.cli.options import board_option, json_option, port_option, virtual_option
from tinyllm.host.connect.attach import BoardRequest
from tinyllm.host.link.answer import format_rate
from tinyllm.host.model.load import LoadOptions
from tinyllm.host.output import Output
from tinyllm.host.prove.prove import COUNT


@click.command(epilog=MODEL_HELP)
@model_argument
@board_option
@virtual_option
@port_option
@click.option(
    "-n",
    "--tokens",
    metavar="N",
    type=click.IntRange(min=1, max=U32_MAX),
    default=COUNT,
    show_default=True,
    help="Tokens to generate.",
)
@load_options
@json_option
def command(
    model: str | None,
    board: str,
    virtual: bool,
    port: str | None,
    tokens: int,
    options: LoadOptions,
    as_json: bool,
) -> None:
    """Measure what a token takes: instructions of an emulated chip, or time of a real one. Tokens are greedy."""
    output = Output(as_json)
    request = BoardRequest(model, options, board, port, virtual, count=virtual)
    with Board(request, output) as running:
        hello = running.hello
        with output.working(f"{tokens} tokens of {hello.model} on {hello.board}"):
            measured = running.bench(tokens)
    if as_json:
        named = {name: getattr(hello, name) for name in ("model", "model_hash", "board", "build_id", "context")}
        output.document(named | asdict(measured))
        return
    output.line(f"{hello.model} ({hello.model_hash}) on {hello.board}, context {hello.context}", style="bold")
    rows = [
        [name, str(phase.tokens), f"{phase.per_token:,.0f}", _speed(phase.tokens_per_second)]
        for name, phase in (("prompt", measured.prompt), ("answer", measured.answer))
    ]
    output.table(["", "tokens", f"{measured.prompt.unit} per token", "tokens/s"], rows)
    output.line(f"digest {measured.digest}. Figures: {measured.kind}.")
    if measured.executed:
        each = ", ".join(f"core {core} {count:,}" for core, count in enumerate(measured.executed))
        output.line(f"Instructions executed meanwhile, counted: {each}")


def _speed(speed: float | None) -> str:
    return "-" if speed is None else format_rate(speed)
