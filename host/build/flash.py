"""Build, upload through PlatformIO, and check that the board runs what was just built.

If the weights lie beside the program, program and weights are each uploaded only if the board has others.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tinyllm.boards.description import Board, load_board
from tinyllm.cache_folder import home
from tinyllm.codegen.emit.project import Manifest, Project
from tinyllm.codegen.emit.upload_weights import TARGET as UPLOAD_WEIGHTS
from tinyllm.codegen.emit.write import write_project
from tinyllm.codegen.memory.fit import check_place_beside
from tinyllm.codegen.memory.plan import PARTITION
from tinyllm.errors import Failure, TinyllmError, UserError
from tinyllm.host.build import platformio
from tinyllm.host.build.build import Line, compile_project, emit, ignore
from tinyllm.host.build.lock import if_free, one_at_a_time
from tinyllm.host.build.program import Program
from tinyllm.host.link.link import Link
from tinyllm.host.link.messages import HelloReply, WeightsState
from tinyllm.host.link.port_names import AUTO, resolve_port
from tinyllm.host.link.port_url import is_url
from tinyllm.host.link.serial_port import PortInfo, check_usable, find_again, port_info
from tinyllm.host.link.usb import find_board, find_board_port, ports_of
from tinyllm.host.link.weights import weights_trouble
from tinyllm.host.model.load import LoadedModel

PROGRAM, WEIGHTS = "program", "weights"
"""The parts that can be uploaded."""
RETURN_SECONDS = 30.0
"""How long a board may take from the end of the upload to its HELLO: reset, USB enumeration, udev, weights' CRC."""
RETRY_SECONDS = 0.5
MOST_FOLDERS = 8
"""Boards of one kind that are flashed at once, at most: each needs its program in a folder."""
HANDSHAKE_SECONDS = 3.0


@dataclass(frozen=True)
class Flashed:
    """What was built, the port where it runs now, and the board's reply to HELLO.

    built: None if nothing was compiled. uploaded: PROGRAM, WEIGHTS (those beside the program), both, or none if the
    board had them already.
    """

    about: Manifest
    built: Program | None
    port: str
    hello: HelloReply
    uploaded: tuple[str, ...]


def flash(
    loaded: LoadedModel,
    board: Board,
    port: str | None = None,
    progress: Line = ignore,
    notice: Line = ignore,
    model_only: bool = False,
    now_at: Callable[[], str | None] | None = None,
) -> Flashed:
    """Build, upload to the board, and check by its HELLO that it runs the build.

    port: as resolve_port takes it; None or auto looks for the board's USB numbers. Waits for another process that
    flashes the same board, or one that looks the same while it waits for its program; tells notice. model_only: compile
    nothing, and upload only the weights beside the program, if the program that the board runs can take them. now_at:
    returns the board's port after its reset, None while it is away; by default looks for its USB numbers, or takes the
    same address.
    Raises UserError if no port, several or an unusable one is found, the model does not fit, or model_only is set but
    the program has to be uploaded too; Failure if PlatformIO cannot upload, the board does not come back, or it runs
    something else than was built.
    """
    if model_only:
        check_place_beside(board, "--model-only")
        if loaded.weights_in not in (None, PARTITION):
            raise UserError("--model-only uploads weights beside the program; leave --weights-in program out.")
    with _folder(board, _find(board, port)[0], notice) as folder:
        name, device = _find(board, port)  # again, because the flash before this one may have moved it
        if name:
            check_usable(name)
        if model_only:
            loaded = replace(loaded, weights_in=PARTITION)
        project = emit(loaded, board, None, progress, notice)
        about, built = project.manifest, None
        there = _running(name, board, progress) if project.weights is not None else None
        if model_only:
            _check_takes_weights(about, name, there)
            write_project(project, folder)
        else:
            # One compiles, and the others find its objects.
            with one_at_a_time(f"compile for {board.name}", "waiting for the compiler", progress):
                built = compile_project(project, folder, progress, notice, by_hand="pio run -t upload")
        uploads = _uploads(project, there, model_only)
        known = {there.device for there in ports_of(board)}
        for part in uploads:
            _upload(part, folder, board, name, device, progress)
        progress("waiting for the board to come back")
        with _returned(board, now_at or (lambda: _find_port(board, name, device, known))) as link:
            check_built(about, link.name, link.hello, model_only)
            return Flashed(about, built, link.name, link.hello, uploads)


def _find(board: Board, port: str | None) -> tuple[str | None, PortInfo | None]:
    """The board's port and what is known of it; None for a board that is on no port yet. Errors as flash."""
    name = None if port in (None, AUTO) else resolve_port(str(port))
    device = port_info(name) if name else find_board_port(board)
    return name or (device.device if device else None), device


@contextmanager
def _folder(board: Board, port: str | None, notice: Line) -> Iterator[Path]:
    """The folder in which a program is built for a board, and no other while the context lasts.

    Waits for another process that flashes the same board, and tells notice. Lasts until the board answers, because
    another flash would overwrite the program and reset the board. The same few folders for all boards of a kind, not
    the cache: PlatformIO recompiles the whole core in a project that moved.
    """
    busy = f"another tinyllm is flashing a {board.name}; waiting for it."
    folders = home() / "flash"
    if port is None or not board.uploads_to_port:
        with one_at_a_time(f"flash {board.name}", busy, notice):
            yield folders / board.name
        return
    with one_at_a_time(f"flash at {port}", busy, notice):
        for name in [board.name, *(f"{board.name}@{number}" for number in range(2, MOST_FOLDERS + 1))]:
            with if_free(f"flash {name}") as free:
                if free:
                    yield folders / name
                    return
        with one_at_a_time(f"flash {board.name}", "waiting for another board of the kind", notice):
            yield folders / board.name


def _running(name: str | None, board: Board, progress: Line) -> HelloReply | None:
    """What the board runs now; None if it does not answer, because it has no tinyllm yet for example."""
    if name is None:
        return None
    progress("asking the board what it has")
    try:
        with Link(name, handshake_seconds=HANDSHAKE_SECONDS) as link:
            return link.hello if link.hello.board == board.name else None
    except TinyllmError:
        return None


def _check_takes_weights(about: Manifest, name: str | None, there: HelloReply | None) -> None:
    """UserError unless the program that the board runs can take these weights."""
    again = f"`tinyllm flash --board {about.board}` without --model-only builds and uploads both."
    if there is None:
        raise UserError(f"{name or about.board}: no {about.board} answers that has a program for the weights.\n{again}")
    if there.layout != about.layout:
        raise UserError(
            f"{name}: the board's program is for weights of layout {there.layout}, {about.model} has {about.layout}: "
            f"other dimensions, another vocabulary, or weights in the program.\n{again}"
        )


def _uploads(project: Project, there: HelloReply | None, model_only: bool) -> tuple[str, ...]:
    """The parts to upload, in order. The weights come first, so that a board that answers has everything."""
    about = project.manifest
    if model_only:
        return (WEIGHTS,)
    if project.weights is None:
        return (PROGRAM,)
    has_weights = there is not None and there.weights == WeightsState.INTACT and there.layout == about.layout
    parts = [] if there is not None and has_weights and there.model_hash == about.model_hash else [WEIGHTS]
    if there is None or there.build_id != about.build_id:
        parts.append(PROGRAM)
    return tuple(parts)


def _upload(part: str, folder: Path, board: Board, name: str | None, device: PortInfo | None, progress: Line) -> None:
    """Upload the program or the weights. Waits first for a board that restarts after the previous upload."""
    deadline = time.monotonic() + RETURN_SECONDS
    while device is not None and device.vid is not None and find_again(device) is None and time.monotonic() < deadline:
        time.sleep(RETRY_SECONDS)
    if part == PROGRAM:
        platformio.run(folder, board.name, targets=["upload"], upload_port=name, progress=progress)
    else:
        platformio.run_target(folder, board.name, UPLOAD_WEIGHTS, name, progress)


def check_built(about: Manifest, port: str, hello: HelloReply, model_only: bool = False) -> None:
    """Raise Failure unless the HELLO of the board on `port` names this build. model_only: compare the weights alone."""
    is_build = model_only or hello.build_id == about.build_id
    if hello.model_hash == about.model_hash and is_build and hello.weights == WeightsState.INTACT:
        return
    if (trouble := weights_trouble(hello)) is not None:
        raise Failure(f"{port}: the upload went through, but the board {trouble}. Flash it again.")
    runs = f"{hello.model} {hello.model_hash}, build {hello.build_id}"
    raise Failure(
        f"{port}: the upload went through, but the board runs {runs}; "
        f"expected {about.model} {about.model_hash}, build {about.build_id}.\n"
        "Another board may answer on this port: unplug the others and flash again, or name the port with --port."
    )


@contextmanager
def _returned(board: Board, now_at: Callable[[], str | None]) -> Iterator[Link]:
    """The link to the board after its reset, on the port that now_at returns.

    Raises Failure after RETURN_SECONDS.
    """
    deadline = time.monotonic() + RETURN_SECONDS
    trouble: TinyllmError | None = None
    while time.monotonic() < deadline:
        port = now_at()
        if port is not None:
            try:
                link = Link(port, handshake_seconds=HANDSHAKE_SECONDS)
            except TinyllmError as error:
                trouble = error
            else:
                with link:
                    yield link
                return
        time.sleep(RETRY_SECONDS)
    why = str(trouble) if trouble else f"no port of a {board.name} appeared."
    raise Failure(
        f"the upload went through, but the board did not come back in {RETURN_SECONDS:g} s. Press its reset button, "
        f"then try `tinyllm chat --port`.\n{why.splitlines()[0]}"
    )


def _find_port(board: Board, name: str | None, device: PortInfo | None, known: set[str]) -> str | None:
    """The board's port, None while it is away. USB may give it another name; a drive gets a port not in `known`."""
    if device is not None and device.vid is not None:
        return find_again(device)
    if name is not None:
        return name if is_url(name) or Path(name).exists() or os.name == "nt" else None
    return next((there.device for there in ports_of(board) if there.device not in known), None)


def board_to_flash(name: str | None, port: str | None) -> Board:
    """The board of that name or, if None, the one that is attached. Errors as load_board and find_board.

    Also raises UserError for a port that resolve_port refuses, and for a board that takes no uploads: the host board or
    a virtual one.
    """
    if port not in (None, AUTO):
        resolve_port(str(port))  # A wrong port is reported before the search for a board.
    board = load_board(name) if name is not None else find_board()
    if not board.takes_uploads:
        raise UserError(
            f"{board.name} is no board to flash: `tinyllm run --board {board.name}` builds and starts it. "
            "`tinyllm boards` lists the others."
        )
    return board
