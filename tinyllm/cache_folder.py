"""The folder for files that may be lost: built programs, pulled models and the chat's history."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tinyllm.errors import UserError


def home() -> Path:
    """The tool's folder in the user's cache, made if missing; TINYLLM_HOME overrides it.

    Raises UserError if it cannot be made.
    """
    folder = home_path()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be created ({error.strerror}). Set TINYLLM_HOME to a folder of yours."
        ) from None
    return folder


def home_path() -> Path:
    """The tool's folder in the user's cache. It may not exist yet."""
    override = os.environ.get("TINYLLM_HOME")
    return Path(override).expanduser().absolute() if override else _user_cache() / "tinyllm"


def core_dir() -> Path:
    """PlatformIO's core folder: PLATFORMIO_CORE_DIR, else platformio/ in the cache folder."""
    chosen = os.environ.get("PLATFORMIO_CORE_DIR")
    return Path(chosen).expanduser().absolute() if chosen else home_path() / "platformio"


def _user_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local")
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
