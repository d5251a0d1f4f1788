"""Options that several verbs share."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from tinyllm.host.model.load import LoadOptions

ModelArgument = Annotated[
    str | None,
    typer.Argument(metavar="[MODEL]", help="A bundled model's name, or a checkpoint.", show_default=False),
]
BoardOption = Annotated[str, typer.Option("--board", metavar="NAME", help="A board of `tinyllm boards`.")]
VirtualOption = Annotated[
    bool, typer.Option("--virtual", help="The board's twin on this computer: its program in an emulator.")
]
PortOption = Annotated[
    str | None,
    typer.Option(
        "--port", metavar="PORT", help="A running board: /dev/ttyACM0, COM3, socket://host:port, rfc2217://..., auto."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, all else on stderr.")]

Temperature = Annotated[float, typer.Option("--temperature", help="Randomness of the choice, 0 = greedy.")]
TopK = Annotated[int, typer.Option("--top-k", help="Keep the K likeliest tokens, 0 = all.")]
TopP = Annotated[float, typer.Option("--top-p", help="Keep the smallest set of tokens of this probability, 1 = all.")]
MinP = Annotated[float, typer.Option("--min-p", help="Drop tokens less likely than this times the likeliest.")]
Penalty = Annotated[float, typer.Option("--repetition-penalty", help="1 = none.")]
Seed = Annotated[int, typer.Option("--seed", help="The same seed and prompt give the same tokens.")]

READING: dict[str, Any] = {
    "context": Annotated[
        int | None,
        typer.Option("--context", metavar="N", help="Tokens that the model sees; default: its own, at most 512."),
    ],
    "tokenizer": Annotated[
        Path | None,
        typer.Option("--tokenizer", metavar="PATH", help="The tokenizer, where none lies beside the checkpoint."),
    ],
    "trim_vocab": Annotated[
        Path | None,
        typer.Option("--trim-vocab", metavar="FILE", help="Keep only the tokens that this text and all bytes need."),
    ],
    "share_embedding": Annotated[
        bool | None,
        typer.Option(
            "--share-embedding/--no-share-embedding",
            help="The embedding is the head too (MobileLLM's GitHub configs do not say); default: as config.json says.",
            show_default=False,
        ),
    ],
    "layer_sharing": Annotated[
        bool | None,
        typer.Option(
            "--layer-sharing/--no-layer-sharing",
            help="Every block runs twice in a row (MobileLLM-LS); default: as config.json says.",
            show_default=False,
        ),
    ],
}
"""The option for each field of LoadOptions."""


def reads_model(verb: Callable[..., None]) -> Callable[..., None]:
    """The verb with the options of READING in place of its parameter `options`, which is made of them."""

    @functools.wraps(verb)
    def command(**given: Any) -> None:
        verb(options=LoadOptions(**{name: given.pop(name) for name in READING}), **given)

    signature = inspect.signature(verb, eval_str=True)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    options = [inspect.Parameter(name, kind, default=None, annotation=option) for name, option in READING.items()]
    parameters = []
    for parameter in signature.parameters.values():
        parameters += options if parameter.name == "options" else [parameter]
    vars(command)["__signature__"] = signature.replace(parameters=parameters)
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command
