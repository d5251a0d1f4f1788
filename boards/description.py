"""Finds boards by name, ours and a user's own. Each board is one TOML file (reader.py has the format).

A board is looked for in the folder that TINYLLM_BOARDS_DIR names (`tinyllm --boards-dir`), then in boards/ of the
current folder, then here. So a user's board is one more file, and it may replace one of ours.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
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
    "find_board",
    "in_order",
    "load_board",
    "load_boards",
    "new_board_folder",
    "read_board",
]

BOARDS_DIR = "TINYLLM_BOARDS_DIR"


def board_folders(may_be_empty: bool = False) -> list[Path]:
    """The folders with boards, the user's first.

    Raises UserError if TINYLLM_BOARDS_DIR is no folder or holds no board, unless may_be_empty.
    """
    folders = []
    if chosen := os.environ.get(BOARDS_DIR):
        folders.append(Path(chosen).expanduser())
        if not may_be_empty and not any(folders[0].glob("*.toml")):
            wrong = "no board TOML in it" if folders[0].is_dir() else "no such folder"
            raise UserError(f"{chosen}: {wrong}; --boards-dir ({BOARDS_DIR}) takes a folder that holds board TOMLs.")
    if any(Path("boards").glob("*.toml")):
        folders.append(Path("boards"))
    return [*folders, FOLDER]


def new_board_folder() -> Path:
    """The folder for a new board: the first of the user's folders. It may not exist yet."""
    chosen = os.environ.get(BOARDS_DIR)
    return Path(chosen).expanduser() if chosen else Path("boards")


def board_files(folder: Path | None = None, may_be_empty: bool = False) -> dict[str, Path]:
    """Board name -> its file, in `folder` or in all folders. A user's board hides ours of that name.

    In the order pico, pico2, pico2-w, pico-w. may_be_empty and errors as board_folders.
    """
    found: dict[str, Path] = {}
    for place in [folder] if folder else board_folders(may_be_empty):
        for path in place.glob("*.toml"):
            found.setdefault(path.stem, path)
    return {name: found[name] for name in sorted(found, key=in_order)}


def in_order(name: str) -> str:
    """The key that sorts names of boards: a plain name before one with an addition."""
    return name.replace("-", "~")


def board_names(folder: Path | None = None) -> list[str]:
    """The names of all boards, sorted as their files."""
    return list(board_files(folder))


def load_board(name: str, folder: Path | None = None) -> Board:
    """The board of that name. Raises UserError for an unknown name, with the nearest name, and for a wrong file."""
    return find_board(name, board_files(folder))


def find_board(name: str, files: Mapping[str, Path]) -> Board:
    """The board of that name among `files`. Errors as load_board."""
    if name not in files:
        near = difflib.get_close_matches(name, files, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"Known boards: {', '.join(files)}."
        raise UserError(f"unknown board {name!r}. {hint}")
    return read_board(files[name])


def load_boards(folder: Path | None = None) -> list[Board]:
    """All boards, sorted as their files. Raises UserError for the first wrong file."""
    return [read_board(path) for path in board_files(folder).values()]
