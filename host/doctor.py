"""Checks of the machine: what a build or a board needs, whether it is there, and what to do where it is not."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

from tinyllm.host.home import home
from tinyllm.host.serial_port import list_serial_ports

PACKAGES = ("platformio", "scons", "cffi", "pyserial", "numpy")
COMPILERS = ("cc", "gcc", "clang")
REGISTRY = "https://api.registry.platformio.org"
REGISTRY_SECONDS = 3.0


@dataclass(frozen=True)
class Check:
    """One thing looked at. `needed` says whether the host board works without it; `advice` is the next step."""

    name: str
    ok: bool
    found: str
    needed: bool = True
    advice: str = ""


def check_machine() -> Iterator[Check]:
    """Look at everything, in the order of a build."""
    yield _python()
    yield from map(_package, PACKAGES)
    yield _compiler()
    yield Check("cache folder", True, str(home()))
    yield from _ports()
    yield _registry()


def _python() -> Check:
    version = f"{platform.python_version()} ({platform.system()} {platform.machine()})"
    return Check("python", sys.version_info >= (3, 10), version, advice="Install Python 3.10 or newer.")


def _package(name: str) -> Check:
    try:
        return Check(name, True, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Check(name, False, "missing", advice=f"Run `{sys.executable} -m pip install {name}`.")


def _compiler() -> Check:
    for name in COMPILERS:
        if shutil.which(name):
            try:
                run = subprocess.run([name, "--version"], capture_output=True, text=True, timeout=10, check=True)
            except (OSError, subprocess.SubprocessError):
                continue
            return Check("C compiler", True, f"{name}: {run.stdout.partition(chr(10))[0]}")
    installs = {
        "linux": "sudo apt install gcc",
        "darwin": "xcode-select --install",
        "win32": "winget install BrechtSanders.WinLibs.POSIX.UCRT",
    }
    command = installs.get(sys.platform, "your system's package manager with gcc or clang")
    return Check("C compiler", False, f"none of {', '.join(COMPILERS)} works", advice=f"Install one: `{command}`.")


def _ports() -> Iterator[Check]:
    ports = list_serial_ports()
    if not ports:
        yield Check("serial ports", True, "none (no board is plugged in)", needed=False)
    for port in ports:
        # On Windows every port may be opened; whether it is in use shows only on opening.
        allowed = sys.platform == "win32" or os.access(port.device, os.R_OK | os.W_OK)
        found = f"{port.description} (may be opened)" if allowed else f"{port.description} (you may not open it)"
        advice = "Run `sudo usermod -aG dialout $USER`, then log out and in."
        yield Check(f"port {port.device}", allowed, found.strip(), needed=False, advice=advice)


def _registry() -> Check:
    """Whether PlatformIO could download a platform. The host board needs none."""
    name = "PlatformIO registry"
    try:
        request = urllib.request.Request(REGISTRY, method="HEAD")
        with urllib.request.urlopen(request, timeout=REGISTRY_SECONDS):
            pass
    except urllib.error.HTTPError:
        pass  # It answered.
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        advice = "The host board builds without it; other boards need it once, to download their platform."
        return Check(name, False, f"not reachable ({reason})", needed=False, advice=advice)
    return Check(name, True, "reachable", needed=False)
