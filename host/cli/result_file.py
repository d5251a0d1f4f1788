"""Result files that a person names, such as --plot FILE.svg: checked before the work, and written whole after it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from tinyllm.errors import UserError
from tinyllm.files import StagedFiles, write_file
from tinyllm.host.output import Output

PLOT = "--plot"


def check_result_file(option: str, path: Path, ending: str) -> None:
    """Raises UserError, which names the option, if the file has another ending, is a pipe or a device, or cannot be
    written.
    """
    if path.suffix != ending:
        raise UserError(f"{option} {path}: expected a file that ends in {ending}.")
    if path.is_dir():
        raise UserError(f"{option} {path}: this is a folder. Name a file in it.")
    if path.exists() and not path.is_file():
        raise UserError(f"{option} {path}: this is not a regular file. Name another file.")
    try:
        with StagedFiles() as tried:  # Only tried: the file is not put in its place.
            tried.add(path, "")
    except OSError as error:
        raise _unwritable(option, path, error) from None


def check_plot(path: Path) -> None:
    """Raises UserError if matplotlib is missing, or if the picture's file cannot be written."""
    check_result_file(PLOT, path, ".svg")
    if importlib.util.find_spec("matplotlib") is None:
        raise UserError("--plot needs matplotlib: pip install 'tinyllm[plots]'.")


def save_result(option: str, path: Path, content: str) -> None:
    """Write the file. Raises UserError, which names the option, if it cannot be written."""
    try:
        write_file(path, content)
    except OSError as error:
        raise _unwritable(option, path, error) from None


def save_plot(path: Path, picture: str, output: Output) -> None:
    """Write a picture and say where it is. Raises UserError if it cannot be written."""
    save_result(PLOT, path, picture)
    output.note(f"drawn: {path}")


def _unwritable(option: str, path: Path, error: OSError) -> UserError:
    return UserError(f"{option} {path}: cannot be written ({error.strerror or error}). Name another file.")
