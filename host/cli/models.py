"""Verbs about checkpoints on this computer: models lists and removes them, pull brings them here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from tinyllm.codegen.checkpoints import inspect_checkpoint
from tinyllm.host.cli.options import JsonOption
from tinyllm.host.hub.store import Pulled, list_pulled, remove
from tinyllm.host.output import Output
from tinyllm.models import bundled
from tinyllm.models.known import KnownModel, known_models


def models(
    removed: Annotated[
        str | None, typer.Option("--remove", metavar="NAME", help="Delete a model that was pulled.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """The models that come with tinyllm, those that were pulled, and those that can be."""
    output = Output(as_json)
    if removed is not None:
        freed = remove(removed)
        if as_json:
            output.document({"removed": removed, "bytes_freed": freed})
        else:
            output.line(f"removed {removed}: {freed:,} bytes freed")
        return
    here = [_bundled_facts(name) for name in bundled()]
    found = list(list_pulled())
    pulled = [model for model in found if isinstance(model, Pulled)]
    for damaged in (error for error in found if not isinstance(error, Pulled)):
        output.note(f"note: {damaged}")
    names = {model.name for model in pulled}
    available = [known for known in known_models().values() if known.name not in names]
    if as_json:
        facts = {
            "pulled": [_pulled_facts(model) for model in pulled],
            "available": [_known_facts(k) for k in available],
        }
        output.document({"models": here} | facts)
        return
    rows = [[f["name"], f"{f['parameters']:,}", str(f["context"]), str(f["vocab_size"]), f["path"]] for f in here]
    output.table(["bundled", "parameters", "context", "vocabulary", "folder"], rows)
    if pulled:
        output.line("")
        rows = [[m.name, in_bytes(m.size), m.licence or "-", m.revision[:10], str(m.path)] for m in pulled]
        output.table(["pulled", "size", "licence", "revision", "path"], rows)
    if available:
        output.line("")
        rows = [[k.name, in_bytes(k.size), k.licence, k.about + (", gated" if k.gated else "")] for k in available]
        output.table(["to pull", "size", "licence", "what it is"], rows)


def pull(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A name of `tinyllm models`, or owner/repo[@revision] of the hub.")
    ],
    revision: Annotated[
        str | None, typer.Option("--revision", metavar="R", help="A branch, tag or commit.", show_default=False)
    ] = None,
    file: Annotated[
        str | None,
        typer.Option("--file", metavar="F", help="One .gguf or llama2.c .bin of a repository.", show_default=False),
    ] = None,
    confirmed: Annotated[bool, typer.Option("--yes", "-y", help="Also more than 1 GB.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Fetch a checkpoint from the Hugging Face Hub; its name is then a MODEL for every verb."""
    # huggingface_hub takes a third of a second to import, which no other verb has to wait for.
    from tinyllm.host.hub import pull as pulling
    from tinyllm.host.hub import selection as selecting

    output = Output(as_json)
    request = selecting.read_request(name, revision, file)
    try:
        with _transfer(output, f"pulling {request.name}") as report:
            outcome = pulling.pull(request, confirmed=confirmed, report=report)
    except KeyboardInterrupt:
        output.note("Stopped. What has come is kept: the same command goes on from there.")
        raise
    model = outcome.pulled
    if as_json:
        facts = {"bytes_transferred": outcome.came, "first_seen": outcome.first_seen}
        output.document(_pulled_facts(model) | facts)
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


def in_bytes(size: int | None) -> str:
    """A size for people, in the decimal units that the hub shows."""
    if size is None:
        return "-"
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size} bytes"


@contextmanager
def _transfer(output: Output, what: str) -> Iterator[Any]:
    """A bar of bytes on a terminal, else one line; yields what takes the file under way and how much of all is here."""
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


def _bundled_facts(name: str) -> dict[str, Any]:
    path = bundled()[name]
    facts = inspect_checkpoint(path)
    return {
        "name": name,
        "parameters": facts.n_parameters,
        "context": facts.config.context,
        "vocab_size": facts.config.vocab_size,
        "path": str(path),
    }


def _known_facts(known: KnownModel) -> dict[str, Any]:
    return {
        "name": known.name,
        "about": known.about,
        "licence": known.licence,
        "repo": known.repo,
        "revision": known.revision,
        "bytes": known.size,
        "gated": known.gated,
    }


def _pulled_facts(model: Pulled) -> dict[str, Any]:
    return {
        "name": model.name,
        "repo": model.repo,
        "revision": model.revision,
        "licence": model.licence,
        "bytes": model.size,
        "path": str(model.path),
        "files": [
            {"path": str(model.folder / file.path), "source": f"{file.repo}@{file.revision}:{file.source}"}
            | {"bytes": file.size, "sha256": file.sha256}
            for file in model.files
        ],
    }
