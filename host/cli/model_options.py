"""The argument MODEL, and the options that say how its checkpoint is read."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from tinyllm.codegen.memory.plan import PARTITION, PROGRAM
from tinyllm.host.cli.completion import complete_board, complete_model
from tinyllm.host.model.load import DEFAULT_CONTEXT, LoadOptions

MODEL_HELP = "MODEL is the name of a bundled or pulled model (`tinyllm models`) or the path of a checkpoint."

model_argument = click.argument("model", metavar="[MODEL]", required=False, shell_complete=complete_model)

_PATH = click.Path(path_type=Path)

LOAD_OPTIONS = (
    click.option(
        "--context",
        metavar="N",
        type=int,
        help=f"Tokens that the model sees; default: its own, at most {DEFAULT_CONTEXT}.",
    ),
    click.option("--tokenizer", metavar="PATH", type=_PATH, help="The tokenizer, if none lies beside the checkpoint."),
    click.option(
        "--trim-vocab", metavar="FILE", type=_PATH, help="Keep only the tokens that this text and all bytes need."
    ),
    click.option(
        "--prefix",
        metavar="FILE",
        type=_PATH,
        help="A text that every conversation on the board begins with, computed at build time: a system prompt.",
    ),
    click.option(
        "--weights",
        metavar="FORMAT",
        help="int8, int4, mixed (5 bits on average) or mixed:SIZE (all weights in so many bytes, as mixed:600KB); "
        "default: int8.",
    ),
    click.option(
        "--calibrate",
        metavar="FILE",
        type=_PATH,
        help="A text like the model's use, stories separated by <|endoftext|>: decides how int4 weights are rounded. "
        "Default: the model writes one.",
    ),
    click.option(
        "--fit-to",
        metavar="BOARD",
        shell_complete=complete_board,
        help="The best weights that fit this board: int8, else a mixture that fills it, else int4.",
    ),
    click.option(
        "--kv-cache",
        metavar="FORMAT",
        help="int8 (default), k8v4: keys int8 and values int4, or int4: the cache takes less RAM and costs quality.",
    ),
    click.option(
        "--window",
        metavar="N",
        type=int,
        help="Tokens that the KV cache holds, the sinks included; default: all of the context. Fewer take less RAM, "
        "and the model forgets earlier.",
    ),
    click.option(
        "--sinks",
        metavar="N",
        help="How many of the first tokens stay in the KV cache when it is full, `prefix` = all of --prefix; "
        "default: 4.",
    ),
    click.option(
        "--rope-base",
        metavar="BASE",
        type=float,
        help="The base of the rotary embedding, for llama2.c files of version 1 and 2; default: 10000.",
    ),
    click.option(
        "--share-embedding/--no-share-embedding",
        default=None,
        help="The embedding is the head too (MobileLLM's GitHub configs do not say); default: as config.json says.",
    ),
    click.option(
        "--layer-sharing/--no-layer-sharing",
        default=None,
        help="Every block runs twice in a row (MobileLLM-LS); default: as config.json says.",
    ),
    click.option(
        "--actions",
        metavar="FILE",
        type=_PATH,
        help="The catalogue of calls that the model may make; default: actions.toml beside the checkpoint.",
    ),
    click.option(
        "--weights-in",
        type=click.Choice([PROGRAM, PARTITION]),
        help="Where a board keeps the weights: in its program, or in flash beside it (weights.bin); default: in the "
        "program if they fit.",
    ),
)
"""One option for each field of LoadOptions."""


def load_options(verb: Callable[..., None]) -> Callable[..., None]:
    """Give a verb the options of LOAD_OPTIONS; it takes them as one argument, `options: LoadOptions`."""

    @functools.wraps(verb)
    def command(**given: Any) -> None:
        values = {field.name: given.pop(field.name) for field in fields(LoadOptions)}
        verb(options=LoadOptions(**values), **given)

    for option in reversed(LOAD_OPTIONS):
        command = option(command)
    return command
