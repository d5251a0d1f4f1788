"""The folders in which huggingface_hub keeps downloaded repositories.

    models--OWNER--NAME/refs/BRANCH        the commit that the branch was at
    models--OWNER--NAME/snapshots/COMMIT/  the files, as links into blobs/

Layout: docs/source/en/guides/manage-cache.md of github.com/huggingface/huggingface_hub. A name has no "--" in it.
"""

from __future__ import annotations

import re
from pathlib import Path

from tinyllm.errors import UserError
from tinyllm.files import read_bytes
from tinyllm.text import harmless_name

REPOSITORY = re.compile(r"models--(?:.+--)?(?P<name>.+)", re.DOTALL)
COMMIT = re.compile(rb"[0-9a-f]{40}")
REFERENCE_LIMIT = 1 << 10


def snapshot(folder: Path) -> Path:
    """The folder with the files of a repository in the cache, or `folder` itself if it is no folder of the cache.

    folder: models--OWNER--NAME or its snapshots. Takes the commit that refs/main names, or else the only one. Raises
    UserError if there are several commits and refs/main names none of them, or if there is no commit.
    """
    named = folder.resolve()
    repository = named.parent if named.name == "snapshots" else named
    commits = repository / "snapshots"
    if not REPOSITORY.fullmatch(repository.name) or not commits.is_dir():
        return folder
    downloaded = sorted(path for path in commits.iterdir() if path.is_dir())
    main = repository / "refs/main"
    if main.is_file():
        commit = read_bytes(main, REFERENCE_LIMIT).strip()
        if COMMIT.fullmatch(commit) and commits / commit.decode() in downloaded:
            return commits / commit.decode()
    if len(downloaded) == 1:
        return downloaded[0]
    found = f"{len(downloaded)} commits, none of them refs/main" if downloaded else "no commit"
    example = f"give the folder of one, such as {downloaded[0]}" if downloaded else "download the model again"
    raise UserError(f"{commits}: {found}; {example}")


def folder_name(folder: Path) -> str:
    """The name of the model in `folder`, made harmless. A snapshot has the name of its repository."""
    whole = folder.resolve()
    repository = REPOSITORY.fullmatch(whole.parent.parent.name)
    if repository is not None and whole.parent.name == "snapshots":
        return harmless_name(repository["name"])
    return harmless_name(whole.name)
