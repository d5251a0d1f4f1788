"""A board whose kernels fail the check at its start: a program that is built so, and else as any of this computer."""

from __future__ import annotations

from pathlib import Path

from tinyllm.boards.description import Board
from tinyllm.host.api.model import load
from tinyllm.host.build.build import compile_project


def disagreeing_program(board: Board, folder: Path, context: int | None = None) -> Path:
    """The program of the bundled model for `board`, which says the model hash and build id of the sound one."""
    project = load(context=context).emit(board)
    name = "src/kernels/kernels_start.c"
    sound = project.files[name]
    project.files[name] = sound.replace("return true;", "return false;")
    assert project.files[name] != sound
    return compile_project(project, folder).program
