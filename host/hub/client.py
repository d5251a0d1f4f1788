"""The Hugging Face Hub, or a mirror of it: the listing of a repository, and the bytes of its files.

huggingface_hub gives addresses, token and HTTP session. This module reads the answers itself, because each must be
bounded in bytes and in time. It sends only these two requests: no telemetry. The API is that of
https://huggingface.co/docs/hub/api: GET /api/models/{repo}/revision/{revision}?blobs=true, and /{repo}/resolve/... for
a file.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import socket
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import huggingface_hub.errors
from huggingface_hub import constants, get_session, get_token, hf_hub_url

from tinyllm.errors import Failure, TinyllmError, UserError

# The base of all errors of a request: httpx's up to version 1 of huggingface_hub, httpx2's from then on.
HTTPError: type[Exception] = getattr(huggingface_hub.errors, "HTTPError")  # noqa: B009

CONNECT_PATIENCE = 2.5
"""Seconds to connect to the hub, including the look-up of its name."""
READ_PATIENCE = 30.0
"""Longest wait for more bytes, in seconds."""
LARGEST_LISTING = 16 << 20
"""Most bytes of a repository's listing."""

COMMIT = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")
SAFE_PATH = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.@+=, -]*/)*[A-Za-z0-9_][A-Za-z0-9_.@+=, -]*")
"""Paths below a folder that are safe on every system; the files of a model need no others."""
RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)
"""Names that Windows takes for a device."""
LICENCE = re.compile(r"license:([A-Za-z0-9_.-]{1,60})")

OTHERWISE = "A checkpoint on this computer can be given by its path; HF_ENDPOINT names a mirror."


class Interrupted(Failure):
    """The connection broke during an answer; the same request may succeed next time."""


class RangeRefused(Failure):
    """The server has no bytes at the requested position."""


@dataclass(frozen=True)
class RemoteFile:
    """A file as the hub lists it: its path in the repository, its size in bytes, its expected hash in hex digits.

    sha256: set if the hub stores it as a large file. git_sha1: the name of its git blob, set otherwise.
    """

    path: str
    size: int
    sha256: str | None
    git_sha1: str | None


@dataclass(frozen=True)
class Listing:
    """A repository at one commit. `files` has only those with a safe path and a size."""

    repo: str
    commit: str
    licence: str | None
    files: Mapping[str, RemoteFile]


class Hub:
    """The hub at HF_ENDPOINT, huggingface.co by default. Raises UserError if that is no address."""

    def __init__(self) -> None:
        given = os.environ.get("HF_ENDPOINT") or constants.ENDPOINT
        self.endpoint = given.rstrip("/")
        try:
            address = urlsplit(self.endpoint)
            self._host = address.hostname or ""
            self._port = address.port or {"http": 80, "https": 443}[address.scheme]
        except (KeyError, ValueError):
            self._host = ""
        if not self._host:
            raise UserError(f"HF_ENDPOINT is {given!r}, expected an address such as https://huggingface.co.")
        self._scheme = address.scheme
        self._token = get_token()

    def check_reachable(self) -> None:
        """Raise Failure, within CONNECT_PATIENCE, if nobody answers at the hub's address."""
        if constants.HF_HUB_OFFLINE:
            raise Failure(f"HF_HUB_OFFLINE is set: nothing is pulled. Unset it. {OTHERWISE}")
        if self._scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(self._host):
            return
        found: list[str] = []

        def connect() -> None:
            try:
                socket.create_connection((self._host, self._port), CONNECT_PATIENCE).close()
                found.append("")
            except (OSError, UnicodeError) as error:
                found.append(getattr(error, "strerror", None) or str(error))

        # In a thread, because no timeout bounds the look-up of the name.
        thread = threading.Thread(target=connect, daemon=True)
        thread.start()
        thread.join(CONNECT_PATIENCE)
        reason = found[0] if found else f"no answer in {CONNECT_PATIENCE:g} s"
        if reason:
            raise Failure(f"{self.endpoint} cannot be reached ({reason}). {OTHERWISE}")

    def listing(self, repo: str, revision: str) -> Listing:
        """The files of `repo` ("owner/name") at a branch, tag or commit.

        Raises UserError if this user can see no such repository or revision, Failure if the hub fails or its answer is
        no listing.
        """
        url = f"{self.endpoint}/api/models/{repo}/revision/{quote(revision, safe='')}?blobs=true"
        body = bytearray()
        with self._answer(url, {}, repo, revision, None) as response:
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > LARGEST_LISTING:
                    raise Failure(f"{self.endpoint} describes {repo} in more than {LARGEST_LISTING:,} bytes; given up.")
        try:
            return read_listing(repo, json.loads(body))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise Failure(
                f"{self.endpoint} answers for {repo} with something that is no description of a model. "
                "Is HF_ENDPOINT the address of a hub?"
            ) from None

    @contextmanager
    def content(self, listing: Listing, path: str, start: int) -> Iterator[tuple[int, Iterator[bytes]]]:
        """The position of the first byte, and chunks of the file from there on.

        The position is `start`, or 0 if the server cannot begin at `start`. Raises Interrupted if the connection
        breaks, also between chunks; RangeRefused if the file ends before `start`; UserError and Failure as `listing`.
        """
        url = hf_hub_url(listing.repo, path, revision=listing.commit, endpoint=self.endpoint)
        # No compression, so that a position in the received bytes is a position in the file.
        headers = {"accept-encoding": "identity"} | ({"range": f"bytes={start}-"} if start else {})
        with self._answer(url, headers, listing.repo, listing.commit, path) as response:
            continued = response.headers.get("content-range", "").startswith(f"bytes {start}-")
            resumed = start and response.status_code == 206 and continued
            yield start if resumed else 0, response.iter_bytes()

    @contextmanager
    def _answer(self, url: str, headers: dict[str, str], repo: str, revision: str, path: str | None) -> Iterator[Any]:
        """The response to a GET, with redirections followed and a successful status."""
        identity = {"user-agent": f"tinyllm/{importlib.metadata.version('tinyllm')}"}
        if self._token:
            identity["authorization"] = f"Bearer {self._token}"
        timeout = (CONNECT_PATIENCE, READ_PATIENCE, READ_PATIENCE, CONNECT_PATIENCE)
        try:
            session = get_session()
            with session.stream(
                "GET", url, headers=identity | headers, timeout=timeout, follow_redirects=True
            ) as response:
                if response.status_code not in (200, 206):
                    raise self._refusal(response.status_code, response.headers, repo, revision, path)
                yield response
        except HTTPError as error:
            raise Interrupted(
                f"the connection to {self.endpoint} broke: {error or type(error).__name__}".rstrip(".") + "."
            ) from None

    def _refusal(
        self, status: int, headers: Mapping[str, str], repo: str, revision: str, path: str | None
    ) -> TinyllmError:
        """The error for a status, with advice for this user. The codes are those of the hub's X-Error-Code header."""
        code = headers.get("x-error-code", "")
        what = f"{repo}: {path}" if path else repo
        if status == 416:
            return RangeRefused(f"{what}: {self.endpoint} has no bytes from there on.")
        if code == "GatedRepo" or (status == 403 and path):
            return UserError(
                f"{repo} is gated: accept its terms at {self.endpoint}/{repo}, then set HF_TOKEN to a token of yours "
                "(https://huggingface.co/settings/tokens) and pull again."
            )
        if status in (401, 403):
            if self._token:
                return UserError(
                    f"{what}: {self.endpoint} does not let this token see it: it is private or missing, or the token "
                    "(HF_TOKEN, or that of `hf auth login`) has expired. Check the name and the token."
                )
            return UserError(
                f"{what}: {self.endpoint} shows no such repository: it is missing or private. Check the name; "
                "for a private one set HF_TOKEN."
            )
        if status == 404 and (code == "EntryNotFound" or path):
            return UserError(f"{repo} has no file {path} at revision {revision}.")
        if status == 404 and code == "RevisionNotFound":
            return UserError(f"{repo} has no revision {revision!r}; expected a branch, tag or commit of it.")
        if status == 404:
            return UserError(f"{repo}: no such repository at {self.endpoint}. Check the name, owner/repo.")
        if status == 429:
            wait = headers.get("retry-after", "")
            when = f"in {int(wait):,} s" if re.fullmatch(r"\d{1,6}", wait) else "later"
            return Failure(
                f"{self.endpoint} has had too many requests from here (429). Pull again {when}; "
                "with HF_TOKEN it allows more."
            )
        return Failure(f"{what}: {self.endpoint} answers with status {status}. Pull again later.")


def read_listing(repo: str, description: dict[str, Any]) -> Listing:
    """The listing of `repo` from JSON. Raises ValueError, KeyError, TypeError or AttributeError if it is malformed."""
    commit = description["sha"]
    if not COMMIT.fullmatch(commit):
        raise ValueError(commit)
    files: dict[str, RemoteFile] = {}
    for entry in description["siblings"]:
        path, size, large = entry["rfilename"], entry.get("size"), entry.get("lfs") or {}
        safe = len(path) <= 200 and SAFE_PATH.fullmatch(path) and not any(map(RESERVED.fullmatch, path.split("/")))
        if not safe or path.endswith((".", " ")) or type(size) is not int or size < 0:
            continue
        # The git blob of a large file is only a pointer to it.
        blob = None if large else _hex(COMMIT, entry.get("blobId"))
        files[path] = RemoteFile(path, size, _hex(SHA256, large.get("sha256")), blob)
    licences = [match[1] for tag in description.get("tags") or [] if (match := LICENCE.fullmatch(tag))]
    return Listing(repo, commit, licences[0] if licences else None, files)


def _hex(form: re.Pattern[str], value: object) -> str | None:
    """The digits, or None for anything else."""
    return value if isinstance(value, str) and form.fullmatch(value) else None
