"""Reads files that may be hostile, after a check of their kind and size. Writes files whole or not at all."""

from __future__ import annotations

import json
import re
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

from tinyllm.errors import UserError

LFS_POINTERS = (b"version https://git-lfs.github.com/spec/", b"version https://hawser.github.com/spec/")
"""The first bytes of a file that Git LFS has not fetched: a few lines of text with the real file's hash and size
(docs/spec.md of github.com/git-lfs/git-lfs; the second is an older form of the first)."""
LARGEST_LFS_POINTER = 1024

LEFTOVER = re.compile(r"\.[0-9a-f]{8}\.tmp$")
"""The end of the name of a file that StagedFiles has not yet put in its place."""

WEIGHTS = "weights.bin"
"""The file of weights beside a program, in a project's folder and in the folder of the compiled program."""


def file_size(path: Path) -> int:
    """Bytes in the regular file `path`.

    Raises UserError if there is no such file, if it cannot be read, or if it is only a Git LFS pointer to the file.
    """
    try:
        if path.is_dir():
            raise UserError(f"{path} is a folder, expected a file")
        if not path.exists():
            raise UserError(f"{path}: no such file; check the path")
        if not path.is_file():
            raise UserError(f"{path} is not a regular file; give a file on disk")
        with path.open("rb") as file:
            size = path.stat().st_size
            pointer = size < LARGEST_LFS_POINTER and file.read(LARGEST_LFS_POINTER).startswith(LFS_POINTERS)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    if pointer:
        raise UserError(
            f"{path} is a Git LFS pointer of {size} bytes, not the file itself; run `git lfs pull` in its repository"
            " (git-lfs must be installed), or download the file"
        )
    return size


def read_bytes(path: Path, limit: int) -> bytes:
    """The bytes of a small file. Raises UserError if it is missing, unreadable or larger than `limit` bytes."""
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


def is_leftover(path: Path) -> bool:
    """Whether a file is half-written by StagedFiles, in a process that was killed or is still at work."""
    return LEFTOVER.search(path.name) is not None


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all, and make the folders that it needs. If it raises OSError, nothing is left."""
    with StagedFiles() as staged:
        staged.add(path, content)
        staged.put_in_place()


class StagedFiles:
    """A context manager that writes several files: first beside their places, then it moves all into place together.

    So a full disk shows before anything has changed. When the context is left, files that are not in place are removed,
    with the folders that were made for them.
    """

    def __init__(self) -> None:
        self._staged: list[tuple[Path, Path]] = []
        self._made: list[Path] = []
        self._begun: Path | None = None

    def __enter__(self) -> StagedFiles:
        return self

    def begin(self, path: Path, content: str) -> None:
        """Write a new file into its place at once, to mark the folder as ours if this process is killed.

        It is removed too if the other files are not put in place. Raises OSError.
        """
        self._make_folders(path)
        self._begun = path
        write_file(path, content)

    def add(self, path: Path, content: str | bytes) -> None:
        """Write the content beside `path`; text becomes UTF-8. Raises OSError that names the path."""
        self._make_folders(path)
        temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
        self._staged.append((temporary, path))
        try:
            temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        except OSError as error:
            error.filename = str(path)
            raise

    def _make_folders(self, path: Path) -> None:
        missing = [folder for folder in (path.parent, *path.parent.parents) if not folder.exists()]
        for folder in reversed(missing):
            folder.mkdir(exist_ok=True)
            self._made.append(folder)

    def put_in_place(self) -> None:
        """Move the files into their places, in the order in which they were added. Raises OSError."""
        while self._staged:
            temporary, path = self._staged[0]
            temporary.replace(path)
            del self._staged[0]
        self._made.clear()
        self._begun = None

    def __exit__(self, *error: object) -> None:
        for path in [temporary for temporary, _ in self._staged] + ([self._begun] if self._begun else []):
            with suppress(OSError):
                path.unlink()
        for folder in reversed(self._made):
            with suppress(OSError):
                folder.rmdir()
