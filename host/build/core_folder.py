"""Prepares PlatformIO's core folder: installs its build engine SCons, and finds missing packages of a board.

PlatformIO fetches SCons as the package `tool-scons` from its registry. PyPI has the same SCons. If the registry is out
of reach, the package is made from the SCons that pip installed: a folder with package.json, .piopm (the record in which
PlatformIO checks type, owner and version) and scons.py. The package's version encodes SCons's own: 4.11.1 is 4.41101.0.

Only the process that PlatformIO runs in (worker.py) imports this: PlatformIO is large.
"""

from __future__ import annotations

import atexit
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import platformio
from platformio import fs, telemetry
from platformio.dependencies import get_core_dependencies
from platformio.exception import PlatformioException
from platformio.package.manager.tool import ToolPackageManager
from platformio.package.meta import PackageSpec
from platformio.package.version import get_original_version
from platformio.platform.exception import UnknownPlatform
from platformio.platform.factory import PlatformFactory

from tinyllm.cache_folder import core_dir
from tinyllm.errors import Failure, UserError
from tinyllm.files import write_file
from tinyllm.host.build.registry import registry_trouble

# At exit PlatformIO's telemetry would create ~/.platformio, only to find that it has nothing to report.
atexit.unregister(telemetry._finalize)

OFFLINE = "PlatformIO's registry cannot be reached; building with the SCons from PyPI"

PACKAGES_SHOWN = 3
"""A message names at most so many missing packages."""

SCONS_PY = """\
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from SCons.Script.Main import main

main()
"""


def prepare(progress: Callable[[str], None]) -> Path:
    """Make the core folder ready for a build that does not wait for the network, and return it.

    Several processes may do this at once. `progress` gets OFFLINE if SCons came from PyPI.
    Raises UserError if the folder cannot be written, or if neither the registry nor a fitting SCons is in reach;
    Failure if packages in it are damaged.
    """
    core = core_dir()
    try:
        (core / "packages").mkdir(parents=True, exist_ok=True)
        _record_version(core / "appstate.json")
        if not _has_scons(core) and registry_trouble() is not None:
            progress(OFFLINE)
            _install_scons(core)
    except OSError as error:
        raise UserError(
            f"{core}: PlatformIO's folder cannot be written ({_reason(error)}); set TINYLLM_HOME to a folder that can."
        ) from error
    return core


def missing_packages(project: Path, environment: str, targets: Sequence[str]) -> list[str] | None:
    """Names of the packages that the environment's platform needs and that are not installed.

    None if the platform itself is not installed. The core folder is that of PLATFORMIO_CORE_DIR. Returns no names if
    the platform's own code fails: PlatformIO reports that.
    """
    with fs.cd(project):
        try:
            platform = PlatformFactory.from_env(environment, targets)
            needed = [name for name, options in platform.packages.items() if not options.get("optional")]
            return [name for name in needed if platform.get_package(name) is None]
        except UnknownPlatform:
            return None
        except Exception:  # A platform's code may raise anything.
            return []


def out_of_reach(environment: str, missing: Sequence[str] | None) -> str:
    """The message for missing packages that cannot be fetched. missing: their names, None for the platform itself."""
    if missing is None:
        what = "a platform that PlatformIO has not fetched yet"
    else:
        more = [f"{len(missing) - PACKAGES_SHOWN} more"] if len(missing) > PACKAGES_SHOWN else []
        what = f"packages that PlatformIO has not fetched yet ({', '.join([*missing[:PACKAGES_SHOWN], *more])})"
    return f"{environment} needs {what}, and its registry cannot be reached."


def _record_version(state: Path) -> None:
    """Note PlatformIO's version: with none or an older one it looks for updates on the network before it builds."""
    try:
        values = json.loads(state.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        values = {}
    if not isinstance(values, dict):
        values = {}
    if values.get("last_version") == platformio.__version__:
        return
    write_file(state, json.dumps(values | {"last_version": platformio.__version__}))


def _has_scons(core: Path) -> bool:
    """Whether PlatformIO accepts the core folder's tool-scons as installed."""
    packages = core / "packages"
    wanted = PackageSpec(owner="platformio", name="tool-scons", requirements=get_core_dependencies()["tool-scons"])
    try:
        return ToolPackageManager(str(packages)).get_package(wanted) is not None
    except (PlatformioException, KeyError, TypeError, ValueError) as error:
        raise Failure(f"{packages}: PlatformIO's packages are damaged ({error}); delete the folder.") from error


def _install_scons(core: Path) -> None:
    """Put a copy of the installed SCons into the core folder as tool-scons.

    It is a copy, so that the package still matches its version after the Python environment changed.
    """
    source, version = _fitting_scons()
    target = core / "packages" / f"tool-scons@{version}"
    with tempfile.TemporaryDirectory(dir=core) as scratch:
        package = Path(scratch) / "package"
        # docbook's style sheets are nine tenths of SCons's size, and building C does not need them.
        shutil.copytree(source, package / "SCons", ignore=shutil.ignore_patterns("docbook-xsl-*"))
        about = {"name": "tool-scons", "version": version}
        spec = {"owner": "platformio", "id": None, "name": "tool-scons", "requirements": None, "uri": None}
        write_file(package / "scons.py", SCONS_PY)
        write_file(package / "package.json", json.dumps({**about, "system": "*"}))
        write_file(package / ".piopm", json.dumps({"type": "tool", **about, "spec": spec}))
        try:
            package.rename(target)
        except OSError:
            if not target.is_dir():
                raise
    if not _has_scons(core):
        raise Failure(f"{target}: PlatformIO does not accept this package of SCons; delete the folder and try again.")


def _fitting_scons() -> tuple[Path, str]:
    """The folder of the installed SCons and its package version. UserError if PlatformIO needs another version."""
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


def _reason(error: OSError) -> str:
    """Why a folder cannot be written, in a few words. shutil.Error lists the same reason for each file of a tree."""
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        return str(error.args[0][0][-1]).partition("] ")[2].partition(":")[0] or "copying failed"
    return error.strerror or str(error)
