"""Whether PlatformIO can build for a real board here: its platform is installed, or can be fetched now.

PlatformIO itself would find out after a minute of waiting.
"""

from __future__ import annotations

from pathlib import Path

from platformio.exception import PlatformioException
from platformio.package.manager.platform import PlatformPackageManager
from platformio.package.meta import PackageSpec

from tinyllm.boards.errors import Failure, UserError
from tinyllm.boards.loader import Board
from tinyllm.host.toolchain import core_dir, registry_answers

OWN_PLATFORM = "tinyllm"


def check_platform(board: Board, project: Path | None) -> None:
    """Raise Failure, in one line that says what to do, where the board's platform is neither installed nor to be had.

    project: the emitted project, whole, which can be built elsewhere; None where it is not kept.
    Raises UserError where the description names a platform in a way that PlatformIO cannot read.
    """
    if board.platformio["platform"] == OWN_PLATFORM or is_installed(board) or registry_answers():
        return
    write = f"write a project with `tinyllm build --board {board.name} -o DIR`"
    whole = f"the project in {project} is whole" if project else write
    raise Failure(
        f"{board.name} needs a platform that PlatformIO has not fetched yet, and its registry cannot be reached: "
        f"{whole}; run `pio run` in it on a machine with internet."
    )


def is_installed(board: Board) -> bool:
    """Whether the board's platform lies in PlatformIO's core folder. Errors as platform_spec."""
    manager = PlatformPackageManager(str(core_dir() / "platforms"))
    try:
        return manager.get_package(platform_spec(board)) is not None
    except (PlatformioException, KeyError, TypeError, ValueError, OSError):
        return False


def platform_spec(board: Board) -> PackageSpec:
    """What PlatformIO makes of the board's platform. Raises UserError where it cannot read the version."""
    text = board.platformio["platform"]
    try:
        return PackageSpec(text)
    except (PlatformioException, ValueError) as error:
        raise UserError(
            f"board {board.name}: platformio.platform is {text!r}, which PlatformIO cannot read: {error}."
        ) from None
