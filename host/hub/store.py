"""The models that were pulled: folders in the user's cache, each with a record of its files' sources.

    models/NAME/pulled.json     the record; "/" in a name is "--" in the folder's
    models/NAME/LABEL/          the files
    models/.partial/NAME/       partial files of an interrupted pull

A folder appears under models/ in one step, when every file in it has been checked. An older pull of the model is
renamed just before, to a name that begins with .old-. If the process is killed between the two, the next look-up of the
model takes the second step.
"""

from __future__ import annotations

import json
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tinyllm.cache_folder import home_path
from tinyllm.errors import Failure, UserError
from tinyllm.files import read_json_object, write_file

RECORD = "pulled.json"
FORMAT = 1
ASIDE = ".old-"
LARGEST_RECORD = 1 << 20
NAME = re.compile(r"(?=.{1,200}\Z)[A-Za-z0-9_][A-Za-z0-9_.@+=, -]*(?:/[A-Za-z0-9_][A-Za-z0-9_.@+=, -]*){0,2}")
"""A known model's name, owner/repo, or owner/repo/file; short enough for a folder."""


@dataclass(frozen=True)
class PulledFile:
    """A file of a pulled model; `path` below its folder, `size` in bytes, `sha256` as it was pulled."""

    path: str
    repo: str
    revision: str
    source: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Pulled:
    """A pulled model; `model` is the path below `folder` of the file or folder that a reader opens."""

    name: str
    repo: str
    revision: str
    licence: str | None
    model: str
    files: tuple[PulledFile, ...]
    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / self.model

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(file.size for file in self.files)

    def document(self) -> dict[str, Any]:
        """The model as --json shows it."""
        return {
            "name": self.name,
            "repo": self.repo,
            "revision": self.revision,
            "licence": self.licence,
            "bytes": self.size,
            "path": str(self.path),
            "files": [
                {"path": str(self.folder / file.path), "source": f"{file.repo}@{file.revision}:{file.source}"}
                | {"bytes": file.size, "sha256": file.sha256}
                for file in self.files
            ],
        }


def models_folder() -> Path:
    """The folder of pulled models; it need not exist."""
    return home_path() / "models"


def folder_of(name: str) -> Path:
    return models_folder() / name.replace("/", "--")


def partial_folder_of(name: str) -> Path:
    return models_folder() / ".partial" / name.replace("/", "--")


def find_pulled(name: str) -> Pulled | None:
    """The pulled model of this name, or None. Raises UserError if its record is damaged."""
    if not NAME.fullmatch(name):
        return None
    _finish(folder_of(name))
    if not (folder_of(name) / RECORD).is_file():
        return None
    pulled = read_record(folder_of(name))
    return pulled if pulled.name == name else None


def find_pulled_around(path: Path) -> Pulled | None:
    """The pulled model that `path` belongs to, or None. Raises UserError if its record is damaged."""
    folder = next((parent for parent in path.resolve().parents if parent.parent == models_folder().resolve()), None)
    return read_record(folder) if folder is not None and (folder / RECORD).is_file() else None


def list_pulled() -> Iterator[Pulled | UserError]:
    """Every pulled model, sorted by name; a UserError in place of one whose record is damaged."""
    for staging in models_folder().glob(f".partial/*/{RECORD}"):
        _finish(models_folder() / staging.parent.name)
    for record in sorted(models_folder().glob(f"[!.]*/{RECORD}")):
        try:
            yield read_record(record.parent)
        except UserError as error:
            yield error


def read_record(folder: Path) -> Pulled:
    """The record in `folder`. Raises UserError if it is damaged or names a file outside the folder."""
    path = folder / RECORD
    values = read_json_object(path, LARGEST_RECORD)
    try:
        if values["format"] != FORMAT:
            raise ValueError("format")
        files = tuple(
            PulledFile(
                **{key: _text(entry, key) for key in ("path", "repo", "revision", "source", "sha256")},
                size=_size(entry),
            )
            for entry in values["files"]
        )
        licence = None if values["licence"] is None else _text(values, "licence")
        texts = {key: _text(values, key) for key in ("name", "repo", "revision", "model")}
        pulled = Pulled(**texts, licence=licence, files=files, folder=folder)
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{path} is damaged. Pull the model again, or delete the folder.") from None
    inside = folder.resolve()
    if not all((folder / part).resolve().is_relative_to(inside) for part in (pulled.model, *(f.path for f in files))):
        raise UserError(f"{path} names a file outside its folder. Pull the model again, or delete the folder.")
    return pulled


def publish(pulled: Pulled, staging: Path) -> Pulled:
    """Write the record into `staging` and rename it to the model's folder; returns the model as it is found there."""
    record = {"format": FORMAT} | {key: value for key, value in asdict(pulled).items() if key != "folder"}
    write_file(staging / RECORD, json.dumps(record, indent=1))
    target = folder_of(pulled.name)
    older = _set_aside(target) if target.exists() else None
    try:
        staging.rename(target)
    except OSError:
        if not (target / RECORD).is_file():
            if older is not None:
                older.rename(target)
            raise
    for aside in models_folder().glob(f"{ASIDE}*"):
        shutil.rmtree(aside, ignore_errors=True)
    return read_record(target)


def _finish(target: Path) -> None:
    """Publish a model whose pull was killed just before. Its record was written last, so all files are there."""
    staging = models_folder() / ".partial" / target.name
    if not target.exists() and (staging / RECORD).is_file():
        with suppress(OSError):  # A read-only cache stays as it is.
            staging.rename(target)


def remove(name: str) -> int:
    """Delete a pulled model and the partial files of an interrupted pull; returns the bytes that were freed.

    Raises UserError if there is neither, Failure if it cannot be deleted.
    """
    folders = [folder_of(name), partial_folder_of(name)] if NAME.fullmatch(name) else []
    found = [folder for folder in folders if folder.is_dir()]
    if not found:
        there = ", ".join(pulled.name for pulled in list_pulled() if isinstance(pulled, Pulled))
        raise UserError(f"{name} was not pulled. Pulled models: {there or 'none'}.")
    freed = 0
    for folder in found:
        freed += sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        try:
            shutil.rmtree(_set_aside(folder))
        except OSError as error:
            raise Failure(
                f"{folder}: cannot be deleted ({error.strerror}). Mend that, or end the program that still uses it."
            ) from None
    return freed


def _set_aside(folder: Path) -> Path:
    """Rename a folder so that it is no longer found as a model; returns the new path."""
    aside = folder.with_name(f"{ASIDE}{uuid.uuid4().hex[:12]}")
    folder.rename(aside)
    return aside


def _text(values: dict[str, Any], key: str) -> str:
    value = values[key]
    if not isinstance(value, str):
        raise TypeError(key)
    return value


def _size(values: dict[str, Any]) -> int:
    value = values["size"]
    if type(value) is not int or value < 0:
        raise TypeError("size")
    return value
