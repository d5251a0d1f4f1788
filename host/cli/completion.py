"""Shell completion for the names of boards, ports and models."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem

from tinyllm.boards.description import board_names
from tinyllm.errors import TinyllmError
from tinyllm.host.hub.store import Pulled, list_pulled
from tinyllm.host.link.serial_port import list_serial_ports
from tinyllm.models import bundled

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def one_of(names: Callable[[], Iterable[str]], files: bool = False) -> Complete:
    """A completion of names; files: of paths too, if no name fits. On an error it offers nothing, and shows none."""

    def complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        found: list[CompletionItem] = []
        with contextlib.suppress(TinyllmError, OSError):
            found = [CompletionItem(name) for name in names() if name.startswith(incomplete)]
        return [CompletionItem(incomplete, type="file")] if files and not found else found

    return complete


complete_board = one_of(board_names)
complete_port = one_of(lambda: ["auto", *(port.device for port in list_serial_ports())])
complete_model = one_of(
    lambda: [*bundled(), *(model.name for model in list_pulled() if isinstance(model, Pulled))], files=True
)
