"""Virtual boards: a chip image runs in an emulator on this computer, its serial port a TCP port or a pseudo-terminal.

`python -m tinyllm.host.virtual.unicorn ELF --chip CHIP --tcp 0 --parent-pipe` is such a board, a process. This package
imports without the emulator.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from tinyllm.errors import UserError
from tinyllm.host.virtual.unicorn.chips import CHIPS


def command(image: Path, chip: str, *options: str) -> list[str]:
    """The command line that runs an ELF image as a virtual board; it takes the host program's options.

    Raises UserError for a chip that is not emulated, and where the emulator is not installed.
    """
    if chip not in CHIPS:
        raise UserError(f"no virtual {chip}; the chips that are emulated here are {', '.join(CHIPS)}.")
    require_emulator()
    return [sys.executable, "-m", "tinyllm.host.virtual.unicorn", str(image), "--chip", chip, *options]


def require_emulator() -> None:
    """Raise UserError saying what to install where the Unicorn emulator is missing."""
    if importlib.util.find_spec("unicorn") is None:
        raise UserError("virtual boards need the Unicorn emulator; to get it: pip install 'tinyllm[virtual]'")
