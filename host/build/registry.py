"""Checks whether PlatformIO's package registry can be reached. Works without PlatformIO, for doctor."""

from __future__ import annotations

import functools
import threading

import requests

REGISTRY = "https://api.registry.platformio.org/"
REGISTRY_PATIENCE = 2.0
"""Seconds in which the registry must answer."""


@functools.cache
def registry_trouble() -> str | None:
    """Why PlatformIO's registry does not answer within REGISTRY_PATIENCE, None if it does. Asked once per process.

    Runs in a thread, because the timeout of requests does not bound the DNS look-up.
    """
    answers: list[str | None] = []

    def ask() -> None:
        try:
            status = requests.head(REGISTRY, timeout=REGISTRY_PATIENCE, allow_redirects=False).status_code
        except requests.Timeout:
            return
        except (requests.RequestException, OSError, ValueError) as error:
            answers.append(f"no connection: {_cause(error)}")
        else:
            answers.append(None if status < 500 else f"it is out of order: status {status}")

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(REGISTRY_PATIENCE)
    return answers[0] if answers else f"no answer within {REGISTRY_PATIENCE:g} s"


def _cause(error: BaseException) -> str:
    """The system's message for why a connection failed; if no cause has one, the error's type."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__
