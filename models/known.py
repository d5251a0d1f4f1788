"""The checkpoints that can be pulled by name, as hub.toml lists them."""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class KnownFile:
    """A file of a known model. size: in bytes. sha256: 64 hexadecimal digits."""

    repo: str
    revision: str
    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class KnownModel:
    """A checkpoint of the Hugging Face Hub that has a name here.

    revision: a commit, or a branch if no commit is pinned. files: the checkpoint comes first; empty if the repository's
    own list of files decides.
    """

    name: str
    about: str
    licence: str
    repo: str
    revision: str
    gated: bool
    files: tuple[KnownFile, ...]

    @property
    def size(self) -> int | None:
        """Bytes of all files; None if they are not pinned."""
        return sum(file.size for file in self.files) or None


@functools.cache
def known_models() -> dict[str, KnownModel]:
    """Name -> known model, in the order of hub.toml."""
    table = tomllib.loads((Path(__file__).parent / "hub.toml").read_text("utf-8"))
    return {entry["name"]: _known_model(entry) for entry in table["model"]}


@functools.cache
def pinned_files() -> dict[tuple[str, str, str], KnownFile]:
    """(repository, commit, path) -> each file whose sha256 is known."""
    files = (file for model in known_models().values() for file in model.files)
    return {(file.repo, file.revision, file.path): file for file in files}


def _known_model(entry: dict[str, object]) -> KnownModel:
    def text(table: dict[str, object], key: str) -> str:
        return str(table[key])

    listed = entry.get("file", [])
    assert isinstance(listed, list)
    files = tuple(
        KnownFile(
            repo=text(entry | file, "repo"),
            revision=text(entry | file, "revision"),
            path=text(file, "path"),
            size=file["bytes"],
            sha256=text(file, "sha256"),
        )
        for file in listed
    )
    fixed = {key: text(entry, key) for key in ("name", "about", "licence", "repo", "revision")}
    return KnownModel(**fixed, gated=bool(entry.get("gated", False)), files=files)
