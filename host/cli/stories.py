"""The verb stories: samples stories from a model, to train a smaller one on."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import click

from tinyllm.errors import UserError
from tinyllm.host.cli.options import json_option
from tinyllm.host.cli.result_file import check_result_file, save_result
from tinyllm.host.output import Output

OUT = "--out"
_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("model", metavar="MODEL", type=_PATH)
@click.option("-o", OUT, metavar="FILE.txt", type=_PATH, required=True, help="The text file to write.")
@click.option("--count", metavar="N", type=click.IntRange(1, 10_000_000), default=10_000, show_default=True)
@click.option(
    "--temperature",
    metavar="T",
    type=click.FloatRange(0.01, 10),
    default=0.8,
    show_default=True,
    help="Lower is more like the likeliest story.",
)
@click.option("--seed", metavar="N", type=int, default=1, show_default=True, help="The same gives the same stories.")
@json_option
def command(model: Path, out: Path, count: int, temperature: float, seed: int, as_json: bool) -> None:
    """Write stories of a model, as tinyllm train --text reads them.

    With train --teacher MODEL a smaller model then learns what the larger one knows, from more text than there was.
    """
    output = Output(as_json)
    if importlib.util.find_spec("torch") is None:
        raise UserError("sampling needs torch, which is not installed; run: pip install 'tinyllm[train]'")
    check_result_file(OUT, out, ".txt")
    from tinyllm.models.training.sampling import sample_stories  # torch: an extra

    with output.progress(f"stories of {model.name}") as report:
        text, tokens = sample_stories(model, count, seed, temperature, report)
    save_result(OUT, out, text)
    if as_json:
        output.document({"file": str(out), "stories": count, "tokens": tokens})
        return
    output.line(f"{out}: {count:,} stories, {tokens:,} tokens")
    output.note(f"Next: tinyllm train --text {out} --teacher {model} --out FOLDER")
