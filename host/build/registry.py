"""Whether the platform of a real board is installed; PlatformIO itself would find out after a minute of waiting."""

from __future__ import annotations

from platformio.exception import PlatformioException
from platformio.package.manager.platform import PlatformPackageManager
from platformio.package.meta import PackageSpec

from tinyllm.boards.description import Board
from tinyllm.host.build.core_folder import core_dir


def is_installed(board: Board) -> bool:
    """Whether the board's platform lies in PlatformIO's core folder."""
    manager = PlatformPackageManager(str(core_dir() / "platforms"))
    try:
        return manager.get_package(platform_spec(board)) is not None
    except (PlatformioException, KeyError, TypeError, ValueError, OSError):
        return False


def platform_spec(board: Board) -> PackageSpec:
    """What PlatformIO makes of the board's platform, which it can read: the board's description was checked."""
    return PackageSpec(board.platformio["platform"])
