"""The static site: the page, the images of boards, and site.json, which lists boards, images and settings."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyllm.codegen.arithmetic.sampler_settings import SETTINGS
from tinyllm.errors import UserError
from tinyllm.files import StagedFiles
from tinyllm.host.link.messages import PROTOCOL_VERSION, WeightsState
from tinyllm.host.link.strangers import SIGNS
from tinyllm.host.link.weights import TROUBLE
from tinyllm.host.web.images import MANIFEST, Image

SITE = "site.json"
IMAGES = "images"
PAGE = Path(__file__).parent / "page"


@dataclass(frozen=True)
class BridgedBoard:
    """The board behind the server's bridge. board, model: their names. clock: which clock the board's times are of."""

    board: str
    model: str
    clock: str


@dataclass(frozen=True)
class Site:
    """A site before it is written. files: path within it -> content; document: site.json."""

    files: dict[str, bytes]
    document: dict[str, Any]

    def for_bridge(self, bridged: BridgedBoard | None) -> dict[str, Any]:
        """site.json as a server sends it if that board is behind its bridge; None: no board is."""
        return self.document | {"bridge": vars(bridged) if bridged else None}


def make_site(images: Sequence[Image]) -> Site:
    """The site: the page, and these images to flash."""
    version = importlib.metadata.version("tinyllm")
    files = _page()
    boards = []
    for image in images:
        place = f"{IMAGES}/{image.board.name}"
        files |= {f"{place}/{name}": content for name, content in image.files.items()}
        about = {"build_id": image.about.build_id, "model_hash": image.about.model_hash}
        if image.by_hand:
            about["file"] = f"{place}/{image.parts[0].name}"
        else:
            about["manifest"] = f"{place}/{MANIFEST}"
            files[about["manifest"]] = _json(image.manifest(version))
        board = image.board
        boards.append(
            {
                "name": board.name,
                "description": board.description,
                "drive": board.bootloader_drive,
                "model": image.about.model,
                "image": about,
            }
        )
    document = {
        "version": version,
        "protocol": PROTOCOL_VERSION,
        "files": ["./", *sorted(files), SITE],
        "boards": boards,
        "settings": _settings(),
        "strangers": [{"sign": sign.decode("ascii"), "told": told} for sign, told in SIGNS.items()],
        "weights": {WeightsState.INTACT.value: "intact", **TROUBLE},
        "bridge": None,
    }
    return Site(files, document)


def write_site(site: Site, folder: Path) -> None:
    """Write the site to a folder. Images of an earlier site that this one lacks are removed.

    Raises UserError, and writes nothing, if `folder` holds anything but a site, or cannot be written.
    """
    check_folder(folder)
    try:
        with StagedFiles() as staged:
            for name, content in site.files.items():
                staged.add(folder / name, content)
            # Last: a folder with site.json is then a whole site.
            staged.add(folder / SITE, _json(site.document))
            staged.put_in_place()
        kept = {Path(name).parts[1] for name in site.files if name.startswith(f"{IMAGES}/")}
        for place in (folder / IMAGES).iterdir() if (folder / IMAGES).is_dir() else ():
            if place.name not in kept and place.is_dir() and not place.is_symlink():
                shutil.rmtree(place)
    except OSError as error:
        raise _unwritable(folder, error) from None


def check_folder(folder: Path) -> None:
    """Raise UserError if a site cannot be written to `folder`: it is a file, or holds other files."""
    try:
        nearest = next((place for place in (folder, *folder.parents) if place.exists()), folder)
        if nearest.exists() and not nearest.is_dir():
            raise UserError(f"{nearest} is a file; give a folder for the site.")
        if folder.is_dir() and any(folder.iterdir()) and not (folder / SITE).is_file():
            raise UserError(f"{folder} holds other files; give an empty or new folder for the site.")
    except OSError as error:
        raise _unwritable(folder, error) from None


def _page() -> dict[str, bytes]:
    """The page's own files: path in the site -> content."""
    return {path.relative_to(PAGE).as_posix(): path.read_bytes() for path in sorted(PAGE.rglob("*")) if path.is_file()}


def _settings() -> list[dict[str, Any]]:
    """The table of sampler settings as the page reads it. Values are as on the wire."""
    return [
        {
            "setting": row.setting.value,
            "name": row.name,
            "unit": row.unit.value,
            "minimum": row.minimum,
            "maximum": row.maximum,
            "meaning": row.meaning,
            "expected": row.expected,
            "choices": row.choices,
        }
        for row in SETTINGS.values()
    ]


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=1).encode() + b"\n"


def _unwritable(folder: Path, error: OSError) -> UserError:
    return UserError(f"{folder}: cannot write the site: {error.strerror or error}. Give another folder.")
