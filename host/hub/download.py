"""Downloads one file of a repository: continues a broken download, and checks the file before it gets its name."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyllm.errors import Failure
from tinyllm.host.hub.client import Hub, Interrupted, Listing, RangeRefused, RemoteFile

ATTEMPTS = 4
"""Most times that one pull starts or continues a file."""
RETRY_PAUSE = 0.5
"""Seconds between two attempts."""
BLOCK = 1 << 20


@dataclass(frozen=True)
class Item:
    """A file to download. name: its name on this computer. sha256: the expected one; None if unknown.

    vouched: whether sha256 is from tinyllm's own list or an earlier pull, not only from the hub that sends the file.
    """

    listing: Listing
    remote: RemoteFile
    name: str
    sha256: str | None
    vouched: bool

    @property
    def part(self) -> str:
        """The name of the partial file; it depends on the expected content."""
        identity = self.sha256 or self.remote.git_sha1 or self.listing.commit
        return f"{self.name}.{identity[:16]}.part"


def fetch(hub: Hub, item: Item, folder: Path, advance: Callable[[int], None]) -> int:
    """Download the file into `folder` under its name; returns the number of bytes transferred.

    advance: called with the number of bytes of the file that have arrived. Raises Failure if the connection breaks for
    good, and keeps the partial file; Failure if the content is wrong, and deletes it.
    """
    target, part = folder / item.name, folder / item.part
    if target.is_file() and fault(item, target) is None:
        advance(item.remote.size)
        return 0
    came = 0
    if item.remote.size == 0:
        part.touch()
    for attempt in range(1, ATTEMPTS + 1):
        have = _size(part)
        if have >= item.remote.size:
            break
        try:
            _go_on(hub, item, part, have, advance)
        except RangeRefused:
            part.unlink()
        except Interrupted as error:
            now = _size(part)
            if now <= have or attempt == ATTEMPTS:
                raise Failure(
                    f"{error} Of {item.name} {now:,} of {item.remote.size:,} bytes are kept; pull again to go on."
                ) from None
            time.sleep(RETRY_PAUSE)
        came += max(_size(part) - have, 0)
    wrong = fault(item, part)
    if wrong is not None:
        part.unlink(missing_ok=True)
        raise Failure(
            f"{item.name} of {item.listing.repo}: {wrong}. It was deleted; "
            "pull again, and if that is no help distrust the connection or the mirror."
        )
    part.replace(target)
    return came


def fault(item: Item, path: Path) -> str | None:
    """How the file at `path` differs from the expected one; None if it does not."""
    size = _size(path)
    if size != item.remote.size:
        return f"it has {size:,} bytes, expected {item.remote.size:,}"
    if item.sha256 is not None and (found := sha256_of(path)) != item.sha256:
        teller = "by tinyllm's list or an earlier pull" if item.vouched else "by the hub"
        return f"its sha256 is {found}, expected {teller} {item.sha256}"
    if item.remote.git_sha1 is not None and (found := git_sha1_of(path)) != item.remote.git_sha1:
        return f"its git sha1 is {found}, expected by the hub {item.remote.git_sha1}"
    return None


def sha256_of(path: Path) -> str:
    """Hex digits of a file's sha256."""
    return _digest(path, hashlib.sha256())


def git_sha1_of(path: Path) -> str:
    """Hex digits of the name that git gives a file's content: sha1 of "blob SIZE NUL content"."""
    return _digest(path, hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _digest(path: Path, digest: Any) -> str:
    """Feed the file's content to `digest`, a hashlib object; returns its hex digits."""
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _go_on(hub: Hub, item: Item, part: Path, have: int, advance: Callable[[int], None]) -> None:
    """Append the bytes from `have` on. Raises Interrupted for too few, Failure for too many, else as Hub.content."""
    with hub.content(item.listing, item.remote.path, have) as (start, chunks), part.open("ab") as file:
        file.truncate(start)
        position = start
        for chunk in chunks:
            if position + len(chunk) > item.remote.size:
                file.truncate(0)
                raise Failure(
                    f"{item.name} of {item.listing.repo}: more comes than the {item.remote.size:,} bytes that the hub "
                    "announced. Nothing of it is kept; pull again."
                )
            file.write(chunk)
            position += len(chunk)
            advance(position)
    if position < item.remote.size:
        raise Interrupted(f"{hub.endpoint} ended the file too early.")
