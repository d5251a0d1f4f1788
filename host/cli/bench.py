"""The verb bench: what a token costs a board, prefilled and generated, and what kind of figure that is."""

from __future__ import annotations

from datetime import date

import click

from tinyllm.host.cli.model_options import MODEL_HELP, load_options, model_argument
from tinyllm.host.cli.options import board_option, json_option, port_option, virtual_option
from tinyllm.host.connect.attach import BoardRequest, attach
from tinyllm.host.connect.connection import Connection
from tinyllm.host.link.answer import format_rate, generate, rate
from tinyllm.host.link.messages import token_digest
from tinyllm.host.link.settings import apply_settings, wire_settings
from tinyllm.host.model.load import LoadOptions
from tinyllm.host.output import Output
from tinyllm.host.prove.expected_answers import GREEDY, check_model
from tinyllm.host.prove.prove import COUNT, PROMPT


@click.command(epilog=MODEL_HELP)
@model_argument
@board_option
@virtual_option
@port_option
@click.option(
    "-n",
    "--tokens",
    metavar="N",
    type=click.IntRange(min=1),
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
    with attach(request, output) as connection, connection.open() as link:
        check_model(request, connection, link)
        with output.working(f"{tokens} tokens of {link.hello.model} on {link.hello.board}"):
            apply_settings(link, wire_settings(GREEDY, seed=1))
            answers = generate(link, PROMPT, tokens)
        executed = _executed(connection)
        hello, kind = link.hello, _kind(connection)
        ids = [token for answer in answers for token in answer.tokens]
        done = [answer.done for answer in answers]
        phases = [
            _phase("prompt", sum(end.prompt_tokens for end in done), sum(end.prefill_us for end in done), connection),
            _phase("answer", len(ids), sum(end.decode_us for end in done), connection),
        ]
    if as_json:
        named = {name: getattr(hello, name) for name in ("model", "model_hash", "board", "build_id", "context")}
        phases_by_name = {str(phase.pop("phase")): phase for phase in phases}
        figures = {"kind": kind, "digest": f"{token_digest(ids):08x}", "executed": executed}
        output.document(named | figures | phases_by_name)
        return
    output.line(f"{hello.model} ({hello.model_hash}) on {hello.board}, context {hello.context}", style="bold")
    unit = phases[0]["unit"]
    rows = [
        [str(phase["phase"]), str(phase["tokens"]), f"{phase['per_token']:,.0f}", _speed(phase["tokens_per_second"])]
        for phase in phases
    ]
    output.table(["", "tokens", f"{unit} per token", "tokens/s"], rows)
    output.line(f"digest {token_digest(ids):08x}. Figures: {kind}.")
    if executed:
        each = ", ".join(f"core {core} {count:,}" for core, count in enumerate(executed))
        output.line(f"Instructions executed since the start, counted: {each}")


def _phase(name: str, tokens: int, microseconds: int, connection: Connection) -> dict[str, float | str | None]:
    counts = connection.process.counts if connection.process else None
    unit = counts.unit if counts else "microseconds"
    return {
        "phase": name,
        "tokens": tokens,
        "unit": unit,
        "per_token": microseconds / max(tokens, 1),
        # An emulator's count is no time: a chip takes more than one cycle for some instructions.
        "tokens_per_second": None if counts else rate(tokens, microseconds),
    }


def _executed(connection: Connection) -> tuple[int, ...]:
    """Instructions of each core, () where nobody counts them."""
    process = connection.process
    return process.instructions() if process and process.counts and process.counts.both_cores else ()


def _kind(connection: Connection) -> str:
    """What the figures are."""
    if connection.on_hardware:
        return f"measured on the board by its own clock, {date.today().isoformat()}"
    return connection.clock


def _speed(speed: float | str | None) -> str:
    return format_rate(speed) if isinstance(speed, float) else "-"
