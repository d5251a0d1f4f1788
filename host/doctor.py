"""Checks of this computer: what a build or a board needs, whether it is there, and what to do if it is not."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tinyllm.boards.description import FIRMWARE, FOLDER, load_boards
from tinyllm.cache_folder import home_path
from tinyllm.errors import UserError
from tinyllm.files import write_file
from tinyllm.host.build.registry import registry_trouble
from tinyllm.host.link.serial_port import list_serial_ports, permission_advice
from tinyllm.host.virtual import qemu, rp2040js
from tinyllm.host.virtual.emulators import require_unicorn

PACKAGES = ("platformio", "scons", "cffi", "pyserial", "numpy")
COMPILERS = ("cc", "gcc", "clang")
NAMED = 4
"""Most boards that a check names; it gives the number of the others."""
OTHER_FOLDER = "Make it one that you may write, or set TINYLLM_HOME to a folder of yours."


@dataclass(frozen=True)
class Check:
    """The result of one check. needed: the host board does not work without it. advice: the user's next step."""

    name: str
    ok: bool
    found: str
    needed: bool = True
    advice: str = ""


def check_machine() -> Iterator[Check]:
    """Run all checks, in the order in which a build needs things."""
    yield _python()
    yield from map(_package, PACKAGES)
    yield _compiler()
    yield _cache_folder()
    yield from _ports()
    yield _registry()
    yield from _virtual()


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
        # On Windows everybody may open a port; only opening it shows whether it is in use.
        allowed = sys.platform == "win32" or os.access(port.device, os.R_OK | os.W_OK)
        found = f"{port.description} (may be opened)" if allowed else f"{port.description} (you may not open it)"
        advice = "" if allowed else permission_advice(port.device)
        yield Check(f"port {port.device}", allowed, found.strip(), needed=False, advice=advice)


def _cache_folder() -> Check:
    """Whether the cache folder and each of its folders can be written: one may belong to another user."""
    name, place = "cache folder", home_path()
    try:
        place.mkdir(parents=True, exist_ok=True)
        for folder in (place, *sorted(path for path in place.iterdir() if path.is_dir())):
            place = folder
            probe = folder / f"doctor-{secrets.token_hex(4)}"
            write_file(probe, "tinyllm doctor tries whether it may write here\n")
            probe.unlink()
    except OSError as error:
        found = f"{place}: cannot be written ({error.strerror or error})"
        return Check(name, False, found, advice=OTHER_FOLDER)
    return Check(name, True, str(home_path()))


def _registry() -> Check:
    """Whether PlatformIO could download a platform. The host board works without."""
    name = "PlatformIO registry"
    if (trouble := registry_trouble()) is None:
        return Check(name, True, "reachable", needed=False)
    advice = "The host board builds without it; other boards need it once, to download their platform."
    return Check(name, False, f"not reachable ({trouble})", needed=False, advice=advice)


def _some(names: Sequence[str]) -> str:
    """The first NAMED names, and the number of the others."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _virtual() -> Iterator[Check]:
    """The cross-compilers and emulators that --virtual needs for the boards that come with tinyllm."""
    twins = [board.twin() for board in load_boards(FOLDER) if board.virtual]
    boards: dict[str, list[str]] = {}
    for twin in twins:
        boards.setdefault(twin.platformio["board"], []).append(twin.name)
    shared: dict[tuple[str, ...], list[str]] = {}
    for chip in boards:
        shared.setdefault(tuple(_build_of(chip)["compilers"]), []).append(chip)
    for chips in shared.values():
        yield _cross_compiler(chips, _some([name for chip in chips for name in boards[chip]]))
    yield _unicorn(_some([twin.name for twin in twins if twin.emulator == "unicorn"]))
    for chip in boards:
        if chip in qemu.MACHINES:
            yield _qemu(qemu.MACHINES[chip], _some(boards[chip]))
    yield _node()


def _build_of(chip: str) -> Any:
    """How our PlatformIO platform builds for a chip; firmware/platform/builder/main.py names the fields."""
    return json.loads((FIRMWARE / "platform" / "boards" / f"{chip}.json").read_text(encoding="utf-8"))["build"]


def _cross_compiler(chips: Sequence[str], boards: str) -> Check:
    """The compiler that these chips share, and its C library."""
    name, builds = f"C for {', '.join(chips)}", [_build_of(chip) for chip in chips]
    compilers = builds[0]["compilers"]
    remedy = builds[0]["install_compiler"].get(sys.platform, f"install {compilers[0]} and put it on PATH")
    advice = f"To get one: {remedy}"
    found = next(filter(shutil.which, compilers), None)
    if found is None:
        return Check(name, False, f"no {' or '.join(compilers)}, for {boards}", needed=False, advice=advice)
    if not all(_has_library(found, build) for build in builds):
        return Check(name, False, f"{found} has no C library, for {boards}", needed=False, advice=advice)
    return Check(name, True, f"{found}, for {boards}", needed=False)


def _has_library(compiler: str, build: Any) -> bool:
    """Whether the compiler has the chip's C library: -print-file-name returns the bare name of a missing file."""
    flags = build.get("cpu_flags", "").split()
    for name in filter(None, (build.get("specs"), "libc.a")):
        try:
            query = [compiler, *flags, f"-print-file-name={name}"]
            told = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout
        except (OSError, subprocess.SubprocessError):
            return False
        if told.strip() != name:
            return True
    return False


def _unicorn(boards: str) -> Check:
    try:
        require_unicorn()
        return Check("unicorn", True, f"{importlib.metadata.version('unicorn')}, for {boards}", needed=False)
    except (UserError, importlib.metadata.PackageNotFoundError) as error:
        return Check("unicorn", False, f"missing, for {boards}", needed=False, advice=str(error))


def _qemu(machine: qemu.Machine, boards: str) -> Check:
    try:
        return Check(machine.program, True, f"{qemu.find(machine)}, for {boards}", needed=False)
    except UserError as error:
        return Check(machine.program, False, f"missing, for {boards}", needed=False, advice=str(error))


def _node() -> Check:
    use = "for rp2040js, another emulator of the Pico"
    try:
        found = " and ".join(map(rp2040js.find, ("node", "npm")))
    except UserError as error:
        return Check("Node.js", False, f"missing, {use}", needed=False, advice=str(error))
    return Check("Node.js", True, f"{found}, {use}", needed=False)
