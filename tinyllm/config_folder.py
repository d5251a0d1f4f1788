"""The folder for what the user told the tool, such as the names of ports."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def config_folder() -> Path:
    """The tool's folder in the user's configuration; TINYLLM_HOME overrides it. It may not exist yet."""
    override = os.environ.get("TINYLLM_HOME")
    return Path(override).expanduser().absolute() if override else _user_config() / "tinyllm"


def _user_config() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA") or Path.home() / "AppData/Roaming")
    if sys.platform == "darwin":
        return Path.home() / "Library/Application Support"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
