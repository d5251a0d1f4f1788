"""Finished builds in the user's cache folder, named by board and build id."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path

from tinyllm.cache_folder import home
from tinyllm.codegen.emit.project import Project
from tinyllm.codegen.memory.stack import Stack
from tinyllm.files import write_file
from tinyllm.host.build.lock import if_free
from tinyllm.host.build.objects import prune_objects
from tinyllm.host.build.program import Program

RECORD = "built.json"
"""The file in a cached build that records its result."""
KEPT_BUILDS = 64
UNFINISHED = "new-"
"""Prefix of a build's name, for the folder in which it is made."""


def builds_folder() -> Path:
    """The folder of all cached builds, which may not be there yet."""
    return home() / "builds"


def place_of(project: Project) -> Path:
    """The folder of this project's build, which may not be there yet.

    If the weights lie beside the program, they are not part of its build id.
    """
    about = project.manifest
    weights = f"-{about.model_hash}" if project.weights is not None else ""
    return builds_folder() / f"{project.board.name}-{about.build_id}{weights}"


def find_build(project: Project) -> Program | None:
    """The cached build of exactly this project; None if there is none or it is incomplete."""
    folder = place_of(project)
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        program = folder / record.pop("program")
        record["warnings"] = tuple(record["warnings"])
        if (stack := record.pop("stack")) is not None:
            stack = Stack(stack["bytes"], tuple(stack["chain"]))
        with contextlib.suppress(OSError):  # A read-only cache works too.
            os.utime(folder)
        found = Program(project=folder, program=program, plan=project.needs.plan, stack=stack, **record)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if program.is_file() else None


def remove_abandoned() -> None:
    """Remove the folders of processes that were killed while they made or removed a build."""
    for path in builds_folder().iterdir():
        if path.is_dir() and not (path / RECORD).is_file():
            with if_free(lock_of(path.with_name(path.name.removeprefix(UNFINISHED)))) as free:
                if free:
                    shutil.rmtree(path, ignore_errors=True)


def lock_of(place: Path) -> str:
    """The name of the lock for making this build, for one_at_a_time."""
    return f"build {place}"


def keep_build(project: Project, built: Program) -> Program:
    """Move a finished build to its place in one step, and remove the builds that were not used for longest.

    If another process was faster, keeps that one's build. Raises OSError.
    """
    fresh, place = built.project, place_of(project)
    program = built.program.relative_to(fresh.absolute())
    record = {key: value for key, value in asdict(built).items() if key not in ("project", "plan")}
    write_file(fresh / RECORD, json.dumps(record | {"program": program.as_posix()}))
    if place.exists() and find_build(project) is None:
        shutil.rmtree(place)
    try:
        fresh.replace(place)
    except OSError:
        if find_build(project) is None:
            raise
    _prune(place)
    prune_objects()
    return replace(built, project=place, program=place / program)


def _prune(kept: Path) -> None:
    """Remove all but the KEPT_BUILDS used last. Never removes `kept`: after a clock was set back it looks oldest."""
    others = (path for path in kept.parent.iterdir() if path != kept and (path / RECORD).is_file())
    for old in sorted(others, key=lambda path: path.stat().st_mtime)[: 1 - KEPT_BUILDS or None]:
        # The record goes first: if this process is killed meanwhile, the rest is not taken for a build.
        with contextlib.suppress(OSError):
            (old / RECORD).unlink()
        shutil.rmtree(old, ignore_errors=True)
