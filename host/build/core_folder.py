"""PlatformIO's core folder: its build engine SCons, and whether the packages that a board needs are in reach.

PlatformIO fetches SCons as the package `tool-scons` from its registry. The same SCons is on PyPI, so if the registry
is out of reach the package is made from the installed one: a folder with package.json, .piopm (the record in which
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

# In this process PlatformIO has nothing to report, and on leaving it would make ~/.platformio to find that out.
atexit.unregister(telemetry._finalize)

OFFLINE = "PlatformIO's registry cannot be reached; building with the SCons from PyPI"

PACKAGES_SHOWN = 3
"""Most missing packages that a message names."""

SCONS_PY = """\
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from SCons.Script.Main import main

main()
"""


def prepare(progress: Callable[[str], None]) -> Path:
    """Make the core folder ready for a build that waits for no network, and return it.

    Safe when several processes do it at once. `progress` gets OFFLINE if SCons came from PyPI.
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

    None if the platform itself is not installed. The core folder is that of PLATFORMIO_CORE_DIR. If the
    platform's own code fails, there are no names: PlatformIO reports it.
    """
    with fs.cd(project):
        try:
            platform = PlatformFactory.from_env(environment, targets)
            needed = [name for name, options in platform.packages.items() if not options.get("optional")]
            return [name for name in needed if platform.get_package(name) is None]
        except UnknownPlatform:
            return None
        except Exception:  # code of a platform, which may do anything
            return []


def out_of_reach(environment: str, missing: Sequence[str] | None) -> str:
    """The message for packages, or if None the platform, that are missing and cannot be fetched."""
    if missing is None:
        what = "a platform that PlatformIO has not fetched yet"
    else:
        more = [f"{len(missing) - PACKAGES_SHOWN} more"] if len(missing) > PACKAGES_SHOWN else []
        what = f"packages that PlatformIO has not fetched yet ({', '.join([*missing[:PACKAGES_SHOWN], *more])})"
    return f"{environment} needs {what}, and its registry cannot be reached."


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

    A copy, so that the package keeps matching its version when the Python environment changes.
    """
    source, version = _fitting_scons()
    target = core / "packages" / f"tool-scons@{version}"
    with tempfile.TemporaryDirectory(dir=core) as scratch:
        package = Path(scratch) / "package"
        # docbook's style sheets are nine tenths of SCons's size and no part of building C
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
    """The folder of the installed SCons and its package version; UserError if PlatformIO wants another."""
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
    """Why a folder cannot be written, in a few words: copying a tree collects the same complaint for each file."""
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        return str(error.args[0][0][-1]).partition("] ")[2].partition(":")[0] or "copying failed"
    return error.strerror or str(error)
