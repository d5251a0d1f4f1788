"""Reading files that may be hostile: what a path is and how large, before anything is read from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tinyllm.errors import UserError


def file_size(path: Path) -> int:
    """Bytes in the regular file `path`. Raises UserError if there is none or it may not be read."""
    try:
        if path.is_dir():
            raise UserError(f"{path} is a folder, expected a file")
        if not path.exists():
            raise UserError(f"{path}: no such file; check the path")
        if not path.is_file():
            raise UserError(f"{path} is not a regular file; give a file on disk")
        with path.open("rb"):
            return path.stat().st_size
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def read_bytes(path: Path, limit: int) -> bytes:
    """The whole of a small file. Raises UserError if it is missing, unreadable or larger than `limit` bytes."""
    size = file_size(path)
    if size > limit:
        raise UserError(
            f"{path} has {size:,} bytes, expected at most {limit:,}; this is not the kind of file it stands for"
        )
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def read_json_object(path: Path, limit: int) -> dict[str, Any]:
    """The JSON object in `path`. Raises UserError if it is missing, too large, not JSON or not an object."""
    try:
        value = json.loads(read_bytes(path, limit))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON ({error}); download or export it again") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} holds a JSON {type(value).__name__}, expected an object; download or export it again")
    return value
