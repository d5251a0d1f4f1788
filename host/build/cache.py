"""Builds that were made before, in the user's cache under board and build id."""

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
"""In a cached build: the record of its result."""
KEPT_BUILDS = 64
UNFINISHED = "new-"
"""Before the name of a build: the folder in which it is made."""


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
    """The build of this very project; None if there is none or it is not whole."""
    folder = place_of(project)
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        program = folder / record.pop("program")
        record["warnings"] = tuple(record["warnings"])
        if (stack := record.pop("stack")) is not None:
            stack = Stack(stack["bytes"], tuple(stack["chain"]))
        with contextlib.suppress(OSError):  # A cache that may only be read is as good.
            os.utime(folder)
        found = Program(project=folder, program=program, plan=project.needs.plan, stack=stack, **record)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if program.is_file() else None


def remove_abandoned() -> None:
    """Remove what processes left that were killed while they made a build or removed one."""
    for path in builds_folder().iterdir():
        if path.is_dir() and not (path / RECORD).is_file():
            with if_free(lock_of(path.with_name(path.name.removeprefix(UNFINISHED)))) as free:
                if free:
                    shutil.rmtree(path, ignore_errors=True)


def lock_of(place: Path) -> str:
    """What one_at_a_time calls the making of a build."""
    return f"build {place}"


def keep_build(project: Project, built: Program) -> Program:
    """Move a whole build to its place in one step, and remove those that were not used for long.

    If another process was faster, its build is kept. Raises OSError.
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
    """Remove all but the builds used last, and that one: if the clock was set back, it seems to be the oldest."""
    others = (path for path in kept.parent.iterdir() if path != kept and (path / RECORD).is_file())
    for old in sorted(others, key=lambda path: path.stat().st_mtime)[: 1 - KEPT_BUILDS or None]:
        # Without its record it is no build any more, even if this process is killed before the rest is gone.
        with contextlib.suppress(OSError):
            (old / RECORD).unlink()
        shutil.rmtree(old, ignore_errors=True)
