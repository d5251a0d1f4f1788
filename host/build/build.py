"""Model -> project -> program: emission and PlatformIO in one step, kept in the cache under the build id."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tinyllm.boards.description import HOST, OWN_PLATFORM, Board
from tinyllm.cache_folder import home
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.chat.derive import Unsuited
from tinyllm.codegen.emit.chat_template import board_plan
from tinyllm.codegen.emit.project import MANIFEST, emit_project, write_project
from tinyllm.codegen.memory.fit import check_fits
from tinyllm.codegen.memory.outline import outline_of
from tinyllm.codegen.memory.plan import Plan, plan_memory
from tinyllm.codegen.memory.stack import Stack, stack_depth
from tinyllm.errors import Failure, UserError
from tinyllm.host.model.load import LoadedModel

RECORD = "built.json"
"""In a cached build: what the build gave."""
FAILED_LOG = "failed.log"
"""Beside the cached builds: what was said in the last one that failed."""
KEPT_BUILDS = 64

BY_HAND = "pio run"
"""What compiles a project that was written."""

Line = Callable[[str], None]


def ignore(line: str) -> None:
    """Where nobody wants to know."""


@dataclass(frozen=True)
class Project:
    """A project that is not compiled yet.

    files: by their paths in it. facts: of its manifest. plan: what its tables and its state take, counted.
    """

    board: Board
    files: dict[str, str]
    facts: dict[str, object]
    plan: Plan

    @property
    def title(self) -> str:
        """What is built, in one line."""
        facts = self.facts
        return f"{facts['model']} for {self.board.name}, context {facts['context']}, build {facts['build_id']}"


@dataclass(frozen=True)
class Program:
    """A compiled project.

    flash and ram are bytes counted from the program's sections, None where it is no ELF file; state_in: the memory that
    the plan's state lies in, "RAM" or "PSRAM".
    """

    project: Path
    program: Path
    model: str
    board: str
    context: int
    model_hash: str
    build_id: str
    seconds: float
    warnings: tuple[str, ...]
    flash: int | None
    ram: int | None
    state_in: str
    plan: Plan


def build(
    loaded: LoadedModel,
    board: Board,
    context: int,
    folder: Path | None = None,
    progress: Line = ignore,
    notice: Line = ignore,
    by_hand: str = BY_HAND,
) -> Program:
    """Emit and compile. Arguments and errors as emit and compile_emitted."""
    return compile_emitted(emit(loaded, board, context, progress, notice), folder, progress, notice, by_hand)


def emit(loaded: LoadedModel, board: Board, context: int, progress: Line = ignore, notice: Line = ignore) -> Project:
    """The project of a model for a board, not written anywhere yet.

    progress takes one short line per step, notice what a person should know. Errors as check_fits and emit_project.
    """
    check_fits(outline_of(loaded.model, context), loaded.tokenizer, board)
    progress("quantizing and writing the C")
    integers = quantize(loaded.model, context)
    files = emit_project(integers, loaded.tokenizer, board)
    plan = plan_memory(integers, loaded.tokenizer)
    facts = json.loads(files[MANIFEST])
    try:
        board_plan(integers.config, loaded.tokenizer, plan.text_max)
    except Unsuited as unsuited:
        notice(f"The board cannot follow the model's chat template ({unsuited}); `tinyllm chat` renders it here.")
    return Project(board, files, facts, plan)


def compile_emitted(
    project: Project,
    folder: Path | None = None,
    progress: Line = ignore,
    notice: Line = ignore,
    by_hand: str = BY_HAND,
) -> Program:
    """Compile in `folder`, or, where None, in the cache: there a build that was made before is taken as it is.

    by_hand: what a person runs in a folder that was written, and cannot be compiled here. Errors as write_project and
    platformio.run; Failure where the board's platform is neither installed nor to be had.
    """
    board, plan = project.board, project.plan
    if folder is not None:
        write_project(project.files, folder)
        whole = f"The project in {folder} is written and whole: run `{by_hand}` in it"
        if not _has_platform(board):
            raise Failure(f"{_out_of_reach(board)}\n{whole} on a machine with internet.")
        try:
            return _compile(folder, project, progress, notice)
        except UserError as error:
            raise UserError(f"{error}\n{whole} when that is mended.") from None
    kept = home() / "builds" / f"{board.name}-{project.facts['build_id']}"
    found = _kept(kept, plan)
    if found is not None:
        return found
    if not _has_platform(board):
        write = f"Write the project with `tinyllm build --board {board.name} -o DIR`"
        raise Failure(f"{_out_of_reach(board)}\n{write}, and run `{by_hand}` in it on a machine with internet.")
    try:
        kept.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent, prefix="new-") as work:
            fresh = Path(work) / "project"
            write_project(project.files, fresh)
            built = _compile(fresh, project, progress, notice, kept.parent / FAILED_LOG)
            (fresh / RECORD).write_text(json.dumps(_record(built)), encoding="utf-8")
            _keep(fresh, kept, plan)
    except OSError as error:
        raise Failure(f"{kept}: the build cannot be kept ({error.strerror or error}). Set TINYLLM_HOME.") from None
    _prune(kept.parent)
    program = kept / built.program.relative_to(fresh.absolute())
    return replace(built, project=kept, program=program)


def _keep(fresh: Path, kept: Path, plan: Plan) -> None:
    """Move a whole build to its place in one step; where another process was faster its build is as good."""
    if kept.exists() and _kept(kept, plan) is None:
        shutil.rmtree(kept)
    try:
        fresh.replace(kept)
    except OSError:
        if _kept(kept, plan) is None:
            raise


def _has_platform(board: Board) -> bool:
    # PlatformIO is imported where it is needed, for a build that is in the cache starts faster without it.
    from tinyllm.host.build.core_folder import registry_answers
    from tinyllm.host.build.registry import is_installed

    return board.platformio["platform"] == OWN_PLATFORM or is_installed(board) or registry_answers()


def _out_of_reach(board: Board) -> str:
    return f"{board.name} needs a platform that PlatformIO has not fetched yet, and its registry cannot be reached."


def deepest_stack(built: Program, board: Board) -> Stack | None:
    """The deepest stack of engine and console as the board's gcc lays it out; None where there is none that can tell.

    Only boards of our own platform say with which compiler and flags they are built.
    """
    if board.platformio["platform"] != "tinyllm":
        return None
    description = built.project / "platform" / "boards" / f"{board.platformio['board']}.json"
    options = json.loads(description.read_text(encoding="utf-8"))["build"]
    compiler = next(filter(shutil.which, ["gcc"] if board.name == HOST else options["compilers"]), None)
    if compiler is None:
        return None
    flags = [*options["extra_flags"].split(), *options.get("cpu_flags", "").split()]
    if board.cores > 1:
        flags.append("-DTL_CORES=2")
    if specs := options.get("specs"):
        flags += _library_specs(compiler, specs)
    try:
        return stack_depth(built.project, [compiler, *flags])
    except Failure:
        return None


def _library_specs(compiler: str, specs: str) -> list[str]:
    """The flag that selects the board's C library, where this compiler has it: else it gives the name back as it is."""
    query = [compiler, f"-print-file-name={specs}"]
    found = subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip()
    return [] if found == specs else [f"--specs={specs}"]


def _compile(folder: Path, project: Project, progress: Line, notice: Line, failed_log: Path | None = None) -> Program:
    """Run PlatformIO in a folder that is written; failed_log and errors as platformio.run."""
    # Imported where it is needed, for a build that is in the cache starts faster without it.
    from tinyllm.host.build import platformio

    def tell(line: str) -> None:
        (progress if platformio.STEP.match(line) else notice)(line)

    facts = project.facts
    result = platformio.run(folder, project.board.name, progress=tell, failed_log=failed_log)
    return Program(
        project=folder,
        program=result.program,
        model=str(facts["model"]),
        board=project.board.name,
        context=int(str(facts["context"])),
        model_hash=str(facts["model_hash"]),
        build_id=str(facts["build_id"]),
        seconds=result.seconds,
        warnings=result.warnings,
        flash=result.flash,
        ram=result.ram,
        state_in=str(facts["state_in"]),
        plan=project.plan,
    )


def _record(built: Program) -> dict[str, object]:
    """What a later run needs; the program by its path within the project, which moves once."""
    record = {key: value for key, value in asdict(built).items() if key not in ("project", "plan")}
    return record | {"program": built.program.relative_to(built.project.absolute()).as_posix()}


def _kept(folder: Path, plan: Plan) -> Program | None:
    """The build that lies in `folder`, or None where there is none or it is not whole."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        program = folder / record.pop("program")
        record["warnings"] = tuple(record["warnings"])
        os.utime(folder)
        return Program(project=folder, program=program, plan=plan, **record) if program.is_file() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _prune(folder: Path) -> None:
    """Remove all but the builds used last."""
    builds = sorted(
        (path for path in folder.iterdir() if (path / RECORD).is_file()), key=lambda path: path.stat().st_mtime
    )
    for old in builds[:-KEPT_BUILDS]:
        shutil.rmtree(old, ignore_errors=True)
