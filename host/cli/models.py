"""The verb models: the models that are bundled, pulled, or to be pulled."""

from __future__ import annotations

from typing import Any

import click

from tinyllm.codegen.checkpoints import inspect_checkpoint
from tinyllm.host.cli.options import json_option
from tinyllm.host.hub.store import Pulled, list_pulled, remove
from tinyllm.host.output import Output
from tinyllm.models import bundled
from tinyllm.models.known import KnownModel, known_models
from tinyllm.text import in_bytes


@click.command()
@click.option("--remove", "removed", metavar="NAME", help="Delete a model that was pulled.")
@json_option
def command(removed: str | None, as_json: bool) -> None:
    """List or remove models: bundled, pulled, and to be pulled."""
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
            "pulled": [model.document() for model in pulled],
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
        output.table(["to pull", "size", "licence", "what it is"], rows, wraps=["what it is"])


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
