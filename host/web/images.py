"""Builds the image that a page writes to a board: the parts of an ESP32's flash with offsets, or a Pico's .uf2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import md5
from itertools import pairwise
from pathlib import Path
from typing import Any

from tinyllm.boards.description import Board
from tinyllm.boards.families import NAMES
from tinyllm.cache_folder import home
from tinyllm.codegen.emit.project import Manifest, Project
from tinyllm.codegen.memory.plan import PARTITION
from tinyllm.errors import Failure, UserError
from tinyllm.files import WEIGHTS, file_size, read_json_object
from tinyllm.host.build.build import Line, compile_project, emit, ignore
from tinyllm.host.build.lock import one_at_a_time
from tinyllm.host.build.platformio import run_target
from tinyllm.host.model.load import LoadedModel

UF2 = "firmware.uf2"
MANIFEST = "manifest.json"
BUILD_FACTS = "idedata"
"""PlatformIO's target that writes idedata.json, its facts about a build, beside the program."""
LARGEST_FACTS = 1 << 24
LARGEST_PART = 1 << 26


@dataclass(frozen=True)
class Part:
    """A file of an image. offset: its place in the flash; None for a file that the user copies to a drive."""

    name: str
    content: bytes
    offset: int | None = None


@dataclass(frozen=True)
class Image:
    """All files that a board needs to run a model. about: the manifest of the project that they were built from."""

    board: Board
    about: Manifest
    parts: tuple[Part, ...]

    @property
    def files(self) -> dict[str, bytes]:
        """The files: name -> content."""
        return {part.name: part.content for part in self.parts}

    @property
    def by_hand(self) -> bool:
        """Whether the user copies the image to the board's drive."""
        return self.parts[0].offset is None

    def manifest(self, version: str) -> dict[str, Any]:
        """The parts in the format of ESP Web Tools (its README, "Example manifest"). version: of tinyllm.

        md5 is for our own page, because a chip can compute the MD5 of its flash. Other installers ignore it.
        """
        parts = [
            {"path": part.name, "offset": part.offset, "md5": md5(part.content, usedforsecurity=False).hexdigest()}
            for part in self.parts
        ]
        return {
            "name": f"{self.about.model} on {self.board.name}",
            "version": f"{version}, build {self.about.build_id}",
            "new_install_prompt_erase": False,
            "builds": [{"chipFamily": NAMES[self.board.chip], "parts": parts}],
        }


def check_has_image(board: Board) -> None:
    """Raise UserError if a page cannot flash such a board."""
    if board.bootloader_drive is None and not _is_esp(board):
        raise UserError(f"--boards {board.name}: a page can flash Picos and ESP32s alone; `tinyllm boards` lists them.")


def build_image(loaded: LoadedModel, board: Board, progress: Line = ignore, notice: Line = ignore) -> Image:
    """Build a model for a board, and read the files that would be uploaded.

    If another process is flashing such a board, call `notice` and wait for it. Errors as emit and compile_project, and
    UserError if a Pico's weights lie beside its program.
    """
    busy = f"another tinyllm is flashing a {board.name}; waiting for it."
    with one_at_a_time(f"flash {board.name}", busy, notice):
        # The folder of `tinyllm flash`, because PlatformIO compiles the whole core again in another folder.
        folder = home() / "flash" / board.name
        project = emit(loaded, board, None, progress, notice)
        if not _is_esp(board) and project.weights is not None:
            raise UserError(
                f"--boards {board.name}: its weights lie beside the program, where no .uf2 of ours goes. Say "
                "--weights-in program if they fit, or take `tinyllm flash`."
            )
        built = compile_project(project, folder, progress, notice, by_hand="pio run")
        return image_of(project, folder, built.program.parent)


def image_of(project: Project, folder: Path, build: Path) -> Image:
    """The image of a project that was compiled in `folder`. build: PlatformIO's folder of the program.

    Raises Failure if the build left no such files.
    """
    if _is_esp(project.board):
        run_target(folder, project.board.name, BUILD_FACTS)
        parts = chip_parts(project, read_json_object(build / "idedata.json", LARGEST_FACTS), build)
    else:
        parts = [Part(UF2, _content(build / UF2))]
    return Image(project.board, project.manifest, tuple(parts))


def chip_parts(project: Project, facts: dict[str, Any], build: Path) -> list[Part]:
    """Bootloader, partition table and app at the offsets to which PlatformIO would upload them, and the weights.

    facts: idedata.json. build: PlatformIO's folder of the program. Raises Failure if the parts do not fit together.
    """
    try:
        extra = facts["extra"]
        places = [(int(image["offset"], 0), Path(image["path"])) for image in extra["flash_images"]]
        places.append((int(extra["application_offset"], 0), build / "firmware.bin"))
    except (KeyError, TypeError, ValueError) as error:
        raise Failure(
            f"{build}: PlatformIO does not say where the parts of the image go ({error!r}). Update its platform."
        ) from None
    parts = [Part(path.name, _content(build / path), offset) for offset, path in places]
    if project.manifest.weights_in == PARTITION:
        assert project.board.weights is not None and project.weights is not None
        parts.append(Part(WEIGHTS, project.weights, project.board.weights.offset))
    return _apart(sorted(parts, key=lambda part: part.offset or 0), build)


def _apart(parts: Sequence[Part], build: Path) -> list[Part]:
    """The parts, which are in the order of the flash. Raises Failure if two overlap or have the same name."""
    for one, other in pairwise(parts):
        assert one.offset is not None and other.offset is not None
        if one.offset + len(one.content) > other.offset:
            raise Failure(f"{build}: {one.name} reaches into {other.name}. Update the board's PlatformIO platform.")
    if len({part.name for part in parts}) < len(parts):
        raise Failure(f"{build}: two parts of the image have one name. Update the board's PlatformIO platform.")
    return list(parts)


def _content(path: Path) -> bytes:
    try:
        if file_size(path) > LARGEST_PART:
            raise Failure(f"{path} is larger than any flash.")
        return path.read_bytes()
    except UserError as error:
        raise Failure(f"{error}; the build left no whole image. Update the board's PlatformIO platform.") from None


def _is_esp(board: Board) -> bool:
    return board.chip.startswith("esp32") and board.emulator is None
