"""Model -> project -> program: emits the C and compiles it with PlatformIO. Builds are cached under their build id."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tinyllm.boards.chips import CHIPS
from tinyllm.boards.description import OWN_PLATFORM, Board
from tinyllm.codegen.arithmetic.integer_model import IntegerModel
from tinyllm.codegen.chat.derive import Unsuited
from tinyllm.codegen.emit.chat_template import board_plan
from tinyllm.codegen.emit.project import Project, emit_project
from tinyllm.codegen.emit.write import write_project
from tinyllm.codegen.memory.fit import check_fits, context_that_fits
from tinyllm.codegen.memory.outline import outline_of
from tinyllm.codegen.memory.plan import MemoryNeeds
from tinyllm.codegen.memory.stack import Stack, stack_depth
from tinyllm.errors import Failure, UserError
from tinyllm.files import WEIGHTS, write_file
from tinyllm.host.build import platformio
from tinyllm.host.build.cache import (
    UNFINISHED,
    builds_folder,
    find_build,
    keep_build,
    lock_of,
    place_of,
    remove_abandoned,
)
from tinyllm.host.build.lock import one_at_a_time
from tinyllm.host.build.program import Program, program_size
from tinyllm.host.model.calibrate import int4_matrices, integers_of
from tinyllm.host.model.load import LoadedModel

FAILED_LOG = "failed.log"
"""The log of the last failed build, beside the cached builds."""

EMULATED = {"lx106": "esp32", "esp32c3": "esp32c3"}
"""Boards of our own platform that stand for several chips -> the chip whose memory addresses their images have."""

BY_HAND = "pio run"
"""The command that compiles a written project by hand."""

Line = Callable[[str], None]


def ignore(line: str) -> None:
    """The callback of callers that show no progress."""


def build(
    loaded: LoadedModel,
    board: Board,
    context: int | None = None,
    folder: Path | None = None,
    progress: Line = ignore,
    notice: Line = ignore,
    by_hand: str = BY_HAND,
) -> Program:
    """Emit and compile. Arguments and errors as emit and compile_project."""
    return compile_project(emit(loaded, board, context, progress, notice), folder, progress, notice, by_hand)


def emit(
    loaded: LoadedModel, board: Board, context: int | None = None, progress: Line = ignore, notice: Line = ignore
) -> Project:
    """The project of a model for a board, in memory only. Arguments as integers_that_fit.

    Errors as check_fits and emit_project.
    """
    integers, needs = integers_that_fit(loaded, board, context, loaded.weights_in, progress, notice)
    progress("writing the C")
    project = emit_project(integers, loaded.tokenizer, board, needs)
    try:
        board_plan(integers.config, loaded.tokenizer, needs.plan.text_max)
    except Unsuited as unsuited:
        notice(f"The board cannot follow the model's chat template ({unsuited}); `tinyllm chat` renders it here.")
    return project


def integers_that_fit(
    loaded: LoadedModel,
    board: Board,
    context: int | None = None,
    weights_in: str | None = None,
    progress: Line = ignore,
    notice: Line = ignore,
) -> tuple[IntegerModel, MemoryNeeds]:
    """The integer model, and the bytes that it takes on the board.

    context: positions of the KV cache; None for that of the loaded model. If nobody chose that one and it does not fit
    the board, takes the largest that does, and tells notice. weights_in: as memory_needs takes it. progress takes one
    short line per step, notice a line that a person should read. Errors as check_fits.
    """
    positions = loaded.context if context is None else context
    int4 = int4_matrices(loaded, progress, notice)
    outline = outline_of(loaded.model, positions, int4)
    if context is None and not loaded.context_chosen:
        positions = context_that_fits(outline, loaded.tokenizer, board, weights_in)
        if positions != loaded.context:
            outline = outline_of(loaded.model, positions, int4)
            notice(
                f"context {positions} instead of {loaded.context}: the largest with which {loaded.name} fits "
                f"{board.name}. --context sets another."
            )
    needs = check_fits(outline, loaded.tokenizer, board, weights_in)
    told = ignore if loaded.weights.kind == "mixed" else notice  # int4_matrices has told it.
    return integers_of(loaded, positions, progress, told), needs


def compile_project(
    project: Project,
    folder: Path | None = None,
    progress: Line = ignore,
    notice: Line = ignore,
    by_hand: str = BY_HAND,
) -> Program:
    """Compile in `folder`; if None, in the cache, unless it holds this build already.

    Waits for another process that works in `folder` or makes the same build, and tells notice. by_hand: the command
    for a person to run if the folder is written but cannot be compiled here. Errors as write_project, platformio.run.
    """
    if folder is None:
        if found := find_build(project):
            return _with_its_weights(project, found)
        busy = f"another tinyllm is building {project.title}; waiting for it."
        with one_at_a_time(lock_of(place_of(project)), busy, notice):
            built = find_build(project) or _compile_in_cache(project, progress, notice, by_hand)
            return _with_its_weights(project, built)
    busy = f"another tinyllm is building in {folder}; waiting for it."
    with one_at_a_time(f"build in {folder.resolve()}", busy, notice):
        write_project(project, folder)
        whole = f"The project in {folder} is written and whole: run `{by_hand}` in it"
        try:
            return _with_its_weights(project, _compile(folder, project, progress, notice))
        except platformio.OutOfReach as error:
            raise platformio.OutOfReach(f"{error}\n{whole} on a machine with internet.") from None
        except UserError as error:
            raise UserError(f"{error}\n{whole} when that is mended.") from None


def _with_its_weights(project: Project, built: Program) -> Program:
    """The build, whose weights.bin is written again where it is missing or damaged: PlatformIO looks at no content.

    The host board and an emulator read a copy beside their program. Raises UserError if a file cannot be written.
    """
    if project.weights is None:
        return built
    own = project.board.platformio["platform"] == OWN_PLATFORM
    for path in [built.project / WEIGHTS, *([built.program.with_name(WEIGHTS)] if own else [])]:
        try:
            if not path.is_file() or path.read_bytes() != project.weights:
                write_file(path, project.weights)
        except OSError as error:
            raise UserError(f"{path}: damaged, and cannot be written ({error.strerror}); make it writable") from None
    return built


def _compile_in_cache(project: Project, progress: Line, notice: Line, by_hand: str) -> Program:
    builds, place = builds_folder(), place_of(project)
    fresh = place.with_name(f"{UNFINISHED}{place.name}")
    try:
        builds.mkdir(exist_ok=True)
        remove_abandoned()
        try:
            # A killed process may have left the folder behind.
            shutil.rmtree(fresh, ignore_errors=True)
            write_project(project, fresh)
            built = _compile(fresh, project, progress, notice, builds / FAILED_LOG)
            return keep_build(project, built)
        except UserError as error:
            if str(fresh) not in str(error):
                raise
            # The person did not choose the temporary folder, so the message names the folder of all builds.
            told = str(error).replace(str(fresh), str(builds))
            raise UserError(f"{told} TINYLLM_HOME sets another folder.") from None
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    except platformio.OutOfReach as error:
        write = f"Write the project with `tinyllm build --board {project.board.name} -o DIR`"
        raise platformio.OutOfReach(
            f"{error}\n{write}, and run `{by_hand}` in it on a machine with internet."
        ) from None
    except OSError as error:
        raise Failure(f"{builds}: the build cannot be kept ({error.strerror or error}). Set TINYLLM_HOME.") from None


def _compile(folder: Path, project: Project, progress: Line, notice: Line, failed_log: Path | None = None) -> Program:
    """Run PlatformIO in a written project folder; failed_log and errors as platformio.run."""

    def tell(line: str) -> None:
        (progress if platformio.STEP.match(line) else notice)(line)

    board, about = project.board, project.manifest
    result = platformio.run(folder, board.name, progress=tell, failed_log=failed_log)
    size = program_size(result.program, CHIPS.get(EMULATED.get(board.platformio["board"], board.chip)))
    return Program(
        project=folder,
        program=result.program,
        model=about.model,
        board=board.name,
        context=about.context,
        model_hash=about.model_hash,
        build_id=about.build_id,
        seconds=result.seconds,
        warnings=result.warnings,
        flash=size.flash if size else None,
        ram=size.ram if size else None,
        stack=_deepest_stack(result.objects),
        cache_in=about.cache_in,
        state_in=about.state_in,
        weights_in=about.weights_in,
        layout=about.layout,
        plan=project.needs.plan,
    )


def _deepest_stack(objects: Path) -> Stack | None:
    """The deepest stack of engine and console by the compiler's report; None if there is no report."""
    try:
        return stack_depth(objects)
    except Failure:
        return None
