"""Pulls a requested model into the user's cache: downloads and checks its files, and only then makes it visible."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from filelock import FileLock, Timeout

from tinyllm.errors import Failure, UserError
from tinyllm.host.hub.client import Hub, Listing, RemoteFile
from tinyllm.host.hub.download import Item, fetch, sha256_of
from tinyllm.host.hub.selection import Request, select
from tinyllm.host.hub.store import RECORD, Pulled, PulledFile, find_pulled, partial_folder_of, publish
from tinyllm.models.known import pinned_files
from tinyllm.text import in_bytes

LARGE = 1_000_000_000
"""Bytes above which a pull has to be confirmed."""
SPARE = 16 << 20
"""Bytes of the disk that a pull leaves free."""

Report = Callable[[str, int, int], None]
"""Called with the name of the file under way, the bytes of all files that have arrived, and the bytes of all files."""


@dataclass(frozen=True)
class Outcome:
    """A pulled model. came: bytes transferred. first_seen: the number of files that only the hub vouches for."""

    pulled: Pulled
    came: int
    first_seen: int


def pull(request: Request, *, confirmed: bool, report: Report) -> Outcome:
    """Pull the model into the cache. If it is there already, whole and at the requested commit, the hub is not asked.

    confirmed: pull it even if it is larger than LARGE. Raises UserError if it cannot be pulled as requested; Failure if
    hub, connection or disk fail, or a file has the wrong content. After an error an earlier pull of the model is
    unchanged, and partial files are kept for the next pull.
    """
    there = _there_before(request)
    if there is not None and there.revision == request.revision and _is_whole(there, request):
        return Outcome(there, 0, 0)
    hub = Hub()
    hub.check_reachable()
    items = _items(hub, request, there)
    total = sum(item.remote.size for item in items)
    if total > LARGE and not confirmed:
        raise UserError(f"{request.name} has {in_bytes(total)}; to take it nevertheless add --yes.")
    staging = partial_folder_of(request.name)
    try:
        staging.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(staging.with_name(f"{staging.name}.lock"), timeout=0):
            return _take(hub, request, items, staging, there, report)
    except Timeout:
        raise Failure(f"another `tinyllm pull {request.name}` is under way; wait for it, or stop it.") from None
    except OSError as error:
        raise Failure(
            f"{error.filename or staging}: {error.strerror or error}. Pull again when that is mended, "
            "or set TINYLLM_HOME to another folder."
        ) from None


def _there_before(request: Request) -> Pulled | None:
    """The model from an earlier pull; None if there is none, or if its record is damaged."""
    try:
        return find_pulled(request.name)
    except UserError:
        return None


def _is_whole(there: Pulled, request: Request) -> bool:
    """Whether the pulled files are those of the request, and each matches its record and its pinned hash, if any."""
    if request.known and request.known.files:
        meant = {(file.repo, file.revision, file.path) for file in request.known.files}
        if meant != {(file.repo, file.revision, file.source) for file in there.files}:
            return False
    for file in there.files:
        pin = pinned_files().get((file.repo, file.revision, file.source))
        path = there.folder / file.path
        if pin is not None and pin.sha256 != file.sha256:
            return False
        if not path.is_file() or path.stat().st_size != file.size or sha256_of(path) != file.sha256:
            return False
    return True


def _items(hub: Hub, request: Request, there: Pulled | None) -> list[Item]:
    """The files to download, the checkpoint first."""
    recorded = {(file.repo, file.revision, file.source): file.sha256 for file in there.files} if there else {}
    listings: dict[tuple[str, str], Listing] = {}

    def listing(repo: str, revision: str) -> Listing:
        if (repo, revision) not in listings:
            listings[repo, revision] = hub.listing(repo, revision)
        return listings[repo, revision]

    def item(listing: Listing, remote: RemoteFile) -> Item:
        source = (listing.repo, listing.commit, remote.path)
        name = PurePosixPath(remote.path).name
        pin = pinned_files().get(source)
        vouched = pin.sha256 if pin else recorded.get(source)
        if (pin and pin.size != remote.size) or (vouched and remote.sha256 and vouched != remote.sha256):
            raise Failure(
                f"{name} of {listing.repo}: {hub.endpoint} lists {remote.size:,} bytes, sha256 {remote.sha256}; "
                f"expected sha256 {vouched}, as {'tinyllm lists it' if pin else 'it was pulled before'}. "
                "Distrust the mirror."
            )
        return Item(listing, remote, name, vouched or remote.sha256, vouched is not None)

    if request.known and request.known.files:
        items = []
        for file in request.known.files:
            held = listing(file.repo, file.revision)
            if file.path not in held.files:
                raise UserError(f"{file.repo} has no file {file.path} at revision {file.revision}.")
            items.append(item(held, held.files[file.path]))
    else:
        held = listing(request.repo, request.revision)
        items = [item(held, remote) for remote in select(held, request.file)]
    if len({item.name.casefold() for item in items}) < len(items):
        raise UserError(f"{request.repo} has files that differ only in folder or in case; they have no room in one.")
    return items


def _take(
    hub: Hub, request: Request, items: list[Item], staging: Path, there: Pulled | None, report: Report
) -> Outcome:
    """Download everything into `staging` and publish it. Raises OSError if the disk fails."""
    # Without a record the folder does not count as a model, in case this pull is killed.
    (staging / RECORD).unlink(missing_ok=True)
    files = staging / request.label
    files.mkdir(parents=True, exist_ok=True)
    wanted = {name for item in items for name in (item.name, item.part)}
    for stray in [path for path in files.iterdir() if path.name not in wanted]:
        stray.unlink()
    if there is not None:
        _reuse(there, items, files)
    total = sum(item.remote.size for item in items)
    missing = total - sum(path.stat().st_size for path in files.iterdir())
    free = shutil.disk_usage(files).free
    if free < missing + SPARE:
        raise Failure(
            f"{files}: the pull needs {in_bytes(missing + SPARE)} more on this disk, {in_bytes(free)} are free. "
            "Make room, or set TINYLLM_HOME to a folder on another disk."
        )
    came = done = 0
    for item in items:
        came += fetch(hub, item, files, _after(done, total, item.name, report))
        done += item.remote.size
    listing = items[0].listing
    is_folder = any(item.name == "config.json" for item in items)
    record = Pulled(
        name=request.name,
        repo=listing.repo,
        revision=listing.commit,
        licence=request.known.licence if request.known else listing.licence,
        model=request.label if is_folder else f"{request.label}/{items[0].name}",
        files=tuple(_record(request.label, item, files / item.name) for item in items),
        folder=staging,
    )
    return Outcome(publish(record, staging), came, sum(not item.vouched for item in items))


def _after(done: int, total: int, name: str, report: Report) -> Callable[[int], None]:
    """A callback for the bytes of one file; it reports those of all files. done: bytes of the files before it."""
    return lambda have: report(name, done + have, total)


def _reuse(there: Pulled, items: list[Item], files: Path) -> None:
    """Link the files of the earlier pull that are wanted again; copy them on disks without links."""
    here = {file.sha256: there.folder / file.path for file in there.files}
    for item in items:
        old, new = here.get(item.sha256 or ""), files / item.name
        if old is None or new.exists() or not old.is_file():
            continue
        try:
            os.link(old, new)
        except OSError:
            shutil.copyfile(old, new)


def _record(label: str, item: Item, path: Path) -> PulledFile:
    return PulledFile(
        path=f"{label}/{item.name}",
        repo=item.listing.repo,
        revision=item.listing.commit,
        source=item.remote.path,
        size=item.remote.size,
        sha256=item.sha256 or sha256_of(path),
    )
