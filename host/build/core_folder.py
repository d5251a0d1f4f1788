"""The folder PlatformIO works in for us, and its build engine SCons when the package registry cannot be reached.

PlatformIO fetches SCons as the package `tool-scons` from its registry. The same SCons is on PyPI, so where the registry
is out of reach the package is made from the installed one: a folder with package.json, .piopm (the record in which
PlatformIO checks type, owner and version) and scons.py. The package's version encodes SCons's own: 4.11.1 is 4.41101.0.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from shutil import copytree, ignore_patterns

import platformio
import requests
from platformio import telemetry
from platformio.dependencies import get_core_dependencies
from platformio.exception import PlatformioException
from platformio.package.manager.tool import ToolPackageManager
from platformio.package.meta import PackageSpec
from platformio.package.version import get_original_version

from tinyllm.errors import Failure, UserError

# In this process PlatformIO has nothing to report, and on leaving it would make ~/.platformio to find that out.
atexit.unregister(telemetry._finalize)

REGISTRY = f"https://api.{platformio.__registry_mirror_hosts__[0]}/"
REGISTRY_PATIENCE = 2.0
"""Seconds in which the registry must answer."""

OFFLINE = "PlatformIO's registry cannot be reached; building with the SCons from PyPI"

SCONS_PY = """\
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from SCons.Script.Main import main

main()
"""


def core_dir() -> Path:
    """PlatformIO's core folder: PLATFORMIO_CORE_DIR, else platformio/ in TINYLLM_HOME, else in the user's cache."""
    if chosen := os.environ.get("PLATFORMIO_CORE_DIR"):
        return Path(chosen).expanduser().absolute()
    if chosen := os.environ.get("TINYLLM_HOME"):
        return Path(chosen).expanduser().absolute() / "platformio"
    if sys.platform == "win32":
        cache = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        cache = Path.home() / "Library" / "Caches"
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "tinyllm" / "platformio"


def prepare(progress: Callable[[str], None]) -> Path:
    """Make the core folder ready for a build that waits for no network, and return it.

    Safe when several processes do it at once. `progress` gets OFFLINE when that is how SCons was had.
    Raises UserError when the folder cannot be written, or when neither the registry nor a fitting SCons is there;
    Failure when packages in it are damaged.
    """
    core = core_dir()
    try:
        (core / "packages").mkdir(parents=True, exist_ok=True)
        _record_version(core / "appstate.json")
        if not _has_scons(core) and not registry_answers():
            progress(OFFLINE)
            _install_scons(core)
    except OSError as error:
        raise UserError(
            f"{core}: PlatformIO's folder cannot be written ({error.strerror or error}); "
            "set TINYLLM_HOME to a folder that can."
        ) from error
    return core


@functools.cache
def registry_answers() -> bool:
    """Whether PlatformIO's registry answers within REGISTRY_PATIENCE; asked once per process.

    In a thread, because no timeout of the library bounds the look-up of the name.
    """
    answers: list[int] = []

    def ask() -> None:
        try:
            answers.append(requests.head(REGISTRY, timeout=REGISTRY_PATIENCE, allow_redirects=False).status_code)
        except (requests.RequestException, OSError, ValueError):
            return

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(REGISTRY_PATIENCE)
    return bool(answers) and answers[0] < 500


def _record_version(state: Path) -> None:
    """A fresh or older appstate.json makes PlatformIO look for updates on the network before it builds."""
    try:
        values = json.loads(state.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        values = {}
    if not isinstance(values, dict):
        values = {}
    if values.get("last_version") == platformio.__version__:
        return
    values["last_version"] = platformio.__version__
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=state.parent, delete=False) as file:
        json.dump(values, file)
    Path(file.name).replace(state)


def _has_scons(core: Path) -> bool:
    """Whether PlatformIO itself would take a tool-scons of the core folder for installed."""
    packages = core / "packages"
    wanted = PackageSpec(owner="platformio", name="tool-scons", requirements=get_core_dependencies()["tool-scons"])
    try:
        return ToolPackageManager(str(packages)).get_package(wanted) is not None
    except (PlatformioException, KeyError, TypeError, ValueError) as error:
        raise Failure(f"{packages}: PlatformIO's packages are damaged ({error}); delete the folder.") from error


def _install_scons(core: Path) -> None:
    """Put a copy of the installed SCons into the core folder as tool-scons.

    A copy, so that the package goes on being what its version says when the Python environment changes.
    """
    source, version = _fitting_scons()
    target = core / "packages" / f"tool-scons@{version}"
    with tempfile.TemporaryDirectory(dir=core) as scratch:
        package = Path(scratch) / "package"
        # docbook's style sheets are nine tenths of SCons's size and no part of building C
        copytree(source, package / "SCons", ignore=ignore_patterns("docbook-xsl-*"))
        (package / "scons.py").write_text(SCONS_PY, "utf-8")
        about = {"name": "tool-scons", "version": version}
        spec = {"owner": "platformio", "id": None, "name": "tool-scons", "requirements": None, "uri": None}
        (package / "package.json").write_text(json.dumps({**about, "system": "*"}), "utf-8")
        (package / ".piopm").write_text(json.dumps({"type": "tool", **about, "spec": spec}), "utf-8")
        try:
            package.rename(target)
        except OSError:
            if not target.is_dir():
                raise
    if not _has_scons(core):
        raise Failure(f"{target}: PlatformIO does not accept this package of SCons; delete the folder and try again.")


def _fitting_scons() -> tuple[Path, str]:
    """The folder of the installed SCons and its package version; UserError where PlatformIO wants another."""
    requirement = get_core_dependencies()["tool-scons"]
    wanted = get_original_version(requirement.lstrip("~^="))
    try:
        scons = distribution("scons")
    except PackageNotFoundError:
        found = "none"
    else:
        found = scons.version
        if found == wanted:
            major, minor, patch = (int(part) for part in found.split("."))
            return Path(str(scons.locate_file("SCons"))), f"{major}.{major}{minor:02d}{patch:02d}.0"
    raise UserError(
        f"PlatformIO {platformio.__version__} needs SCons {wanted}, found {found}; its registry cannot be reached.\n"
        f"Install it: {sys.executable} -m pip install scons=={wanted}"
    )
