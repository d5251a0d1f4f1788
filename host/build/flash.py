"""Build, upload through PlatformIO, and prove that the board runs what was just built."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tinyllm.boards.description import Board, load_board
from tinyllm.cache_folder import home
from tinyllm.errors import Failure, TinyllmError, UserError
from tinyllm.host.build import platformio
from tinyllm.host.build.build import Line, build, ignore
from tinyllm.host.build.lock import one_at_a_time
from tinyllm.host.build.program import Program
from tinyllm.host.link.link import Link
from tinyllm.host.link.messages import HelloReply
from tinyllm.host.link.port_names import AUTO, resolve_port
from tinyllm.host.link.port_url import is_url
from tinyllm.host.link.serial_port import PortInfo, check_usable, find_again, port_info
from tinyllm.host.link.usb import find_board, find_board_port, ports_of
from tinyllm.host.model.load import LoadedModel

RETURN_SECONDS = 30.0
"""How long a board may take from the end of the upload to its HELLO: reset, USB enumeration, udev, weights' CRC."""
RETRY_SECONDS = 0.5
HANDSHAKE_SECONDS = 3.0


@dataclass(frozen=True)
class Flashed:
    """What was built, the port where it runs now, and what the board said of itself."""

    built: Program
    port: str
    hello: HelloReply


def flash(
    loaded: LoadedModel, board: Board, port: str | None = None, progress: Line = ignore, notice: Line = ignore
) -> Flashed:
    """Put the model on the board and talk to it.

    port: where the board is, as resolve_port takes it; None or auto looks for its USB numbers. Another process that
    flashes such a board is waited for, and notice told.
    Raises UserError if no port, several or an unusable one is found, or the model does not fit; Failure if PlatformIO
    cannot upload, the board does not come back, or runs something else than was built.
    """
    # Locked until the board answers: another flash would put its program into the folder and reset the board.
    busy = f"another tinyllm is flashing a {board.name}; waiting for it."
    with one_at_a_time(f"flash {board.name}", busy, notice):
        name = None if port in (None, AUTO) else resolve_port(str(port))
        device = port_info(name) if name else find_board_port(board)
        name = name or (device.device if device else None)
        if name:
            check_usable(name)
        # One folder a board, not the cache: PlatformIO compiles the whole core again in a project that has moved.
        folder = home() / "flash" / board.name
        built = build(loaded, board, None, folder, progress, notice, by_hand="pio run -t upload")
        known = {there.device for there in ports_of(board)}
        platformio.run(built.project, board.name, targets=["upload"], upload_port=name, progress=progress)
        progress("waiting for the board to come back")
        with _returned(board, name, device, known) as link:
            check_built(built, link.name, link.hello)
            return Flashed(built, link.name, link.hello)


def check_built(built: Program, port: str, hello: HelloReply) -> None:
    """Raise Failure unless the board on `port` says that it runs this very build."""
    if (hello.model_hash, hello.build_id) == (built.model_hash, built.build_id):
        return
    runs = f"{hello.model} {hello.model_hash}, build {hello.build_id}"
    raise Failure(
        f"{port}: the upload went through, but the board runs {runs}; "
        f"expected {built.model} {built.model_hash}, build {built.build_id}.\n"
        "Another board may answer on this port: unplug the others and flash again, or name the port with --port."
    )


@contextmanager
def _returned(board: Board, name: str | None, device: PortInfo | None, known: set[str]) -> Iterator[Link]:
    """The link to the board after its reset.

    A USB board may come back under another name; one that was a drive before gets a new port.
    """
    deadline = time.monotonic() + RETURN_SECONDS
    trouble: TinyllmError | None = None
    while time.monotonic() < deadline:
        port = _find_port(board, name, device, known)
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
    if device is not None and device.vid is not None:
        return find_again(device)
    if name is not None:
        return name if is_url(name) or Path(name).exists() or os.name == "nt" else None
    return next((there.device for there in ports_of(board) if there.device not in known), None)


def board_to_flash(name: str | None, port: str | None) -> Board:
    """The board of that name or, if None, the one that is attached; errors as load_board and find_board.

    Raises UserError too for a port that cannot be one, and for a board that is none: this computer, or a virtual one.
    """
    if port not in (None, AUTO):
        resolve_port(str(port))  # Told before a board is looked for.
    board = load_board(name) if name is not None else find_board()
    if board.emulator or (board.memory is None and board.platformio.get("upload_protocol") != "custom"):
        raise UserError(
            f"{board.name} is no board to flash: `tinyllm run --board {board.name}` builds and starts it. "
            "`tinyllm boards` lists the others."
        )
    return board
