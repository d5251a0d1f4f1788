"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ModelArgument = Annotated[
    str | None,
    typer.Argument(metavar="[MODEL]", help="A bundled model's name, or a checkpoint.", show_default=False),
]
TokenizerOption = Annotated[
    Path | None,
    typer.Option("--tokenizer", metavar="PATH", help="The tokenizer, where none lies beside the checkpoint."),
]
ContextOption = Annotated[
    int | None,
    typer.Option("--context", metavar="N", help="Tokens that the model sees; default: its own, at most 512."),
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
