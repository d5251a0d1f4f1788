"""The verb pull: a checkpoint from the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from tinyllm.host.cli.options import json_option
from tinyllm.host.hub.pull import pull
from tinyllm.host.hub.selection import read_request
from tinyllm.host.output import Output
from tinyllm.text import in_bytes


@click.command()
@click.argument("name")
@click.option("--revision", metavar="R", help="A branch, tag or commit.")
@click.option("--file", metavar="F", help="One .gguf or llama2.c .bin of a repository.")
@click.option("--yes", "-y", "confirmed", is_flag=True, help="Also more than 1 GB.")
@json_option
def command(name: str, revision: str | None, file: str | None, confirmed: bool, as_json: bool) -> None:
    """Fetch a checkpoint from the Hugging Face Hub; its name is then a MODEL for every verb.

    NAME is one of `tinyllm models`, or owner/repo[@revision] of the hub.
    """
    output = Output(as_json)
    request = read_request(name, revision, file)
    try:
        with _transfer(output, f"pulling {request.name}") as report:
            outcome = pull(request, confirmed=confirmed, report=report)
    except KeyboardInterrupt:
        output.note("Stopped. What has come is kept: the same command goes on from there.")
        raise
    model = outcome.pulled
    if as_json:
        facts = {"bytes_transferred": outcome.came, "first_seen": outcome.first_seen}
        output.document(model.document() | facts)
        return
    already = "is here already, and whole" if outcome.came == 0 else f"pulled, {in_bytes(model.size)}"
    output.line(f"{model.name}: {already}", style="bold")
    output.line(f"from {model.repo} at {model.revision}, licence {model.licence or 'not told'}")
    files = f"{len(model.files)} file{'s' if len(model.files) != 1 else ''}"
    if outcome.first_seen:
        told = f"as the hub describes them; {outcome.first_seen} sha256 new to this computer"
        output.line(f"{files} {told}, recorded now: later pulls of this revision are held to them")
    else:
        output.line(f"{files}, each with the sha256 that was known before")
    output.line(f"{model.path}")
    output.note(f"Next: tinyllm inspect {model.name}, tinyllm run {model.name}")


@contextmanager
def _transfer(output: Output, what: str) -> Iterator[Any]:
    """Show a bar of bytes on a terminal, else one line. Yields the callback: file, bytes done, bytes in all."""
    if not output.stderr.is_terminal:
        output.note(f"{what} ...")
        yield lambda file, done, total: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=output.stderr, transient=True) as bar:
        task = bar.add_task(escape(what), total=None)

        def report(file: str, done: int, total: int) -> None:
            bar.update(task, description=escape(f"{what}: {file}"), completed=done, total=total)

        yield report
