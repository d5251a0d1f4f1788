"""A second emulator for the virtual Pico: the same image, unchanged, in rp2040js under Node.js.

rp2040js counts cycles: 2 for a load, store or taken branch, 1 for a multiplication. It has no cache misses of the flash
and no second core. It does not notice misaligned writes; any complaint that it does make stops the board.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tinyllm.cache_folder import home
from tinyllm.errors import UserError
from tinyllm.files import write_file
from tinyllm.host.virtual import bridge
from tinyllm.host.virtual.elf import Elf
from tinyllm.host.virtual.unicorn.chips import RP2040
from tinyllm.host.virtual.unicorn.image import read_image

SOURCES = Path(__file__).with_name("rp2040js_runner")
NEEDED = ("package.json", "package-lock.json", "runner.mjs", "profile.mjs")
RUNNER = "runner.mjs"
PACKAGE = "rp2040js 1.4.1"
FETCH_SECONDS = 120.0
RETRY = ("--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=1000")
FLASH_START, FLASH_BYTES = 0x10000000, 16 * 1024 * 1024


def serve(
    program: Path, tcp_port: int = 0, parent_pipe: bool = False, count: bool = False, profile: Path | None = None
) -> int:
    """Run a Pico's ELF image until asked to stop; see bridge.serve. Raises UserError as read_image, find and install.

    profile: the folder of a profile to count cycles into.
    """
    image = read_image(program, RP2040).elf
    node = find("node")
    folder = install()
    with tempfile.TemporaryDirectory(prefix="tinyllm-rp2040js-") as work:
        flash = Path(work) / "flash.bin"
        write_file(flash, image.flash(FLASH_START, FLASH_BYTES))
        options = [*(("--count",) if count else ()), *(("--profile", profile.resolve()) if profile else ())]
        command = (node, folder / RUNNER, flash, *options)
        return bridge.serve(command, partial(explain, image), tcp_port, parent_pipe)


def install() -> Path:
    """The folder in the user's cache with rp2040js and our runner. npm fetches rp2040js if it is not there yet.

    Raises UserError if Node.js or npm is missing, or npm cannot fetch the package.
    """
    files = {name: (SOURCES / name).read_bytes() for name in NEEDED}
    digest = hashlib.sha256(b"\0".join(files.values())).hexdigest()[:12]
    folder = home() / f"rp2040js-{digest}"
    if folder.is_dir():
        return folder
    npm = find("npm")
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="rp2040js-new-") as work:
            fresh = Path(work) / "rp2040js"
            for name, data in files.items():
                write_file(fresh / name, data)
            _fetch(npm, fresh)
            _keep(fresh, folder)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror or error}). Set TINYLLM_HOME.") from None
    return folder


def _fetch(npm: str, folder: Path) -> None:
    options = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", *RETRY)
    try:
        done = subprocess.run(
            [npm, *options], cwd=folder, capture_output=True, text=True, errors="replace", timeout=FETCH_SECONDS
        )
        said = [line for line in done.stderr.splitlines() if line.startswith("npm error")]
        reason = "" if done.returncode == 0 else said[0] if said else f"npm ended with code {done.returncode}"
    except subprocess.TimeoutExpired:
        reason = f"no answer in {FETCH_SECONDS:.0f} s"
    if reason:
        raise UserError(
            f"npm cannot fetch {PACKAGE} ({reason}). It is needed once, from registry.npmjs.org: connect to a network."
        )


def _keep(fresh: Path, folder: Path) -> None:
    """Move a whole folder to its place in one step. If another process was faster, use its folder: it is the same."""
    try:
        fresh.replace(folder)
    except OSError:
        if not folder.is_dir():
            raise


def find(tool: str) -> str:
    """The path of node or npm. Raises UserError if it is missing."""
    found = shutil.which(tool)
    if found is None:
        raise UserError(
            f"{tool} is not on PATH; install Node.js 18 or later: sudo apt-get install nodejs npm, or https://nodejs.org."
        )
    return found


def explain(image: Elf, complaints: Sequence[str]) -> str:
    """The message for a board that stopped, from lines of rp2040js, the runner or the firmware: registers, then why."""
    report = next((line for line in complaints if line.startswith("tinyllm: fault")), "")
    said = [line for line in complaints if line != report]
    trouble = said[0] if said else "the firmware reports a fault"
    return bridge.account("the Pico in rp2040js", trouble, image, bridge.registers(report))


def main() -> int:
    """`python -m tinyllm.host.virtual.rp2040js PROGRAM --tcp PORT [--parent-pipe] [--count]`.

    `--profile FOLDER` counts the cycles of each function into the profile there.
    """
    parser = bridge.argument_parser("Run a Pico's image in rp2040js.")
    parser.add_argument("--count", action="store_true", help="one cycle is one microsecond of the board's clock")
    parser.add_argument("--profile", type=Path, metavar="FOLDER", help="count into the profile in FOLDER")
    given = parser.parse_args()
    return serve(given.program, given.tcp, given.parent_pipe, given.count, given.profile)


if __name__ == "__main__":
    os.environ.pop("NODE_OPTIONS", None)
    sys.exit(bridge.report_errors(main))
