"""The option --tools of the verbs that talk with a model."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tinyllm.host.tools.registry import load_tools


def tools_option(verb: Callable[..., None]) -> Callable[..., None]:
    """Give a verb the option --tools. Its files are run before the verb."""

    @click.option(
        "--tools",
        metavar="FILE.py",
        type=click.Path(path_type=Path),
        multiple=True,
        help="Python with functions under @tinyllm.action, which answer calls that the board has no handler for.",
    )
    @functools.wraps(verb)
    def command(tools: tuple[Path, ...], **given: Any) -> None:
        for path in tools:
            load_tools(path)
        verb(**given)

    return command
