"""The boards that are described, one TOML each (reader.py has the format): found by name, ours and a user's own.

A board is looked for in the folder that TINYLLM_BOARDS_DIR names (`tinyllm --boards-dir`), in boards/ of the current
folder, then here: a user's board is one more file, and may stand in for one of ours.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from tinyllm.boards.board import HOST, TWIN, Board, Memory, UsbId, Virtual
from tinyllm.boards.platformio_options import FIRMWARE, OWN_PLATFORM
from tinyllm.boards.reader import FOLDER, read_board
from tinyllm.errors import UserError

__all__ = [
    "BOARDS_DIR",
    "FIRMWARE",
    "FOLDER",
    "HOST",
    "OWN_PLATFORM",
    "TWIN",
    "Board",
    "Memory",
    "UsbId",
    "Virtual",
    "board_files",
    "board_folders",
    "board_names",
    "load_board",
    "load_boards",
    "read_board",
]

BOARDS_DIR = "TINYLLM_BOARDS_DIR"


def board_folders() -> list[Path]:
    """Where boards are described, the user's folders first.

    Raises UserError if TINYLLM_BOARDS_DIR is no folder, or holds no board.
    """
    folders = []
    if chosen := os.environ.get(BOARDS_DIR):
        folders.append(Path(chosen).expanduser())
        if not any(folders[0].glob("*.toml")):
            wrong = "no board TOML in it" if folders[0].is_dir() else "no such folder"
            raise UserError(f"{chosen}: {wrong}; --boards-dir ({BOARDS_DIR}) takes a folder that holds board TOMLs.")
    if any(Path("boards").glob("*.toml")):
        folders.append(Path("boards"))
    return [*folders, FOLDER]


def board_files(folder: Path | None = None) -> dict[str, Path]:
    """Board name -> its file, sorted by name: of `folder`, or of all folders; the user's come first."""
    found: dict[str, Path] = {}
    for place in [folder] if folder else board_folders():
        for path in place.glob("*.toml"):
            found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def board_names(folder: Path | None = None) -> list[str]:
    """Names of the boards that are described, sorted."""
    return list(board_files(folder))


def load_board(name: str, folder: Path | None = None) -> Board:
    """The board of that name. Raises UserError for an unknown name, with the nearest, and for a file that is wrong."""
    files = board_files(folder)
    if name not in files:
        near = difflib.get_close_matches(name, files, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"Known boards: {', '.join(files)}."
        raise UserError(f"unknown board {name!r}. {hint}")
    return read_board(files[name])


def load_boards(folder: Path | None = None) -> list[Board]:
    """All boards, sorted by name; UserError for the first file that is wrong."""
    return [read_board(path) for path in board_files(folder).values()]
