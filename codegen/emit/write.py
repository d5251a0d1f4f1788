"""Write an emitted project into a folder: only changed files are written, and a person's edits are not overwritten."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path, PureWindowsPath

from tinyllm.codegen.emit.project import PROJECT_FORMAT, Project, hash_of
from tinyllm.errors import UserError
from tinyllm.files import StagedFiles, is_leftover, write_file
from tinyllm.text import shown

MANIFEST = ".tinyllm.json"
"""The project's manifest, beside its files. While they are being written, it has each one's hashes before and after."""
LARGEST_MANIFEST = 2**20


def write_project(project: Project, folder: Path) -> None:
    """Write an emitted project, touching only what changed so that a rebuild is quick.

    Files of an earlier emission that this one does not have are removed; other files in the folder stay. Raises
    UserError, and changes nothing, for the same reasons as check_folder, and if the disk is full.
    """
    manifest = folder / MANIFEST
    wanted, text = project.manifest.files, project.manifest.text()
    written, there = check_folder(project, folder)
    try:
        stale = [name for name in written if name not in wanted and there[name] is not None]
        changed = [name for name in wanted if there[name] != wanted[name]]
        if not stale and not changed and manifest.is_file() and manifest.read_bytes() == text.encode():
            return
        _remove_leftovers(folder, wanted)
        with StagedFiles() as staged:
            if not manifest.is_file():
                staged.begin(manifest, json.dumps({"files": []}))
            for name in changed:
                staged.add(folder / name, project.content(name))
            staged.add(manifest, text)
            either = {name: [*written.get(name, ()), *filter(None, [wanted.get(name)])] for name in there}
            write_file(manifest, json.dumps({"files": either}))
            for name in stale:
                (folder / name).unlink()
            staged.put_in_place()
    except OSError as error:
        raise _unwritable(folder, error) from None


def check_folder(project: Project, folder: Path) -> tuple[dict[str, tuple[str, ...]], dict[str, str | None]]:
    """The hashes of the project's files in `folder`: those that emissions wrote, and those of the files now.

    Raises UserError if `folder` is a file, cannot be read, holds something else, or holds a file that was edited since.
    """
    manifest, wanted = folder / MANIFEST, project.manifest.files
    try:
        nearest = next((place for place in (folder, *folder.parents) if place.exists()), folder)
        if nearest.exists() and not nearest.is_dir():
            raise UserError(f"{nearest} is a file; give a folder for the project.")
        if folder.is_dir() and any(folder.iterdir()) and not manifest.is_file():
            raise UserError(f"{folder} holds other files; give an empty or new folder for the project.")
        written = _written(manifest) if manifest.is_file() else {}
        there = {name: _hash_now(folder / name) for name in wanted | written}
    except OSError as error:
        raise _unwritable(folder, error) from None
    _refuse_to_lose_edits(folder, written, there, wanted)
    return written, there


def _refuse_to_lose_edits(
    folder: Path, written: dict[str, tuple[str, ...]], there: dict[str, str | None], wanted: dict[str, str]
) -> None:
    """Raise UserError if a file is neither as it was written nor as it shall become. A removed file is no loss."""
    edited = [
        name
        for name, was in written.items()
        if was and there[name] is not None and there[name] not in (*was, wanted.get(name))
    ]
    if not edited:
        return
    more = f" and {len(edited) - 1} more" if len(edited) > 1 else ""
    raise UserError(
        f"{folder / edited[0]}{more}: edited since tinyllm wrote the project; writing it again would lose that.\n"
        "Give another folder (-o), or move what was edited away or delete it."
    )


def _written(manifest: Path) -> dict[str, tuple[str, ...]]:
    """What an earlier emission wrote: path within the project -> its hashes, none if the manifest has none.

    A file of a project that was not finished has two hashes: the file is as it was, or as it should be. Older manifests
    list only the names. Raises UserError for a manifest of a later tinyllm.
    """
    with manifest.open("rb") as file:
        text = file.read(LARGEST_MANIFEST)
    try:
        told = json.loads(text)
        found, number = told["files"], told.get("format", PROJECT_FORMAT)
        names = {str(name): found[name] if isinstance(found, dict) else [] for name in found}
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    if number != PROJECT_FORMAT:
        raise UserError(
            f"{manifest}: a project of format {shown(number)}, which a later tinyllm wrote; this one writes format "
            f"{PROJECT_FORMAT}.\nUpdate tinyllm, or give another folder (-o)."
        )
    hashes = {name: was if isinstance(was, list) else [was] for name, was in names.items() if _is_within(name)}
    return {name: tuple(each for each in was if isinstance(each, str)) for name, was in hashes.items()}


def _remove_leftovers(folder: Path, names: Iterable[str]) -> None:
    """Remove the half-written files that a killed emission left beside the files of the project."""
    for place in {(folder / name).parent for name in names}:
        for path in filter(is_leftover, place.glob("*.tmp")):
            path.unlink()


def _is_within(name: str) -> bool:
    """Whether a name stays in the folder that it is joined to, on any system."""
    path = PureWindowsPath(name)
    return not (path.drive or path.root or ".." in path.parts)


def _hash_now(path: Path) -> str | None:
    """The hash of a file as it is now; None if there is no file."""
    return hash_of(path.read_bytes()) if path.is_file() else None


def _unwritable(folder: Path, error: OSError) -> UserError:
    why = error.strerror or str(error)
    return UserError(f"{folder}: cannot write the project: {why}. Make room there, or give another folder.")
