"""Finds the C compiler of this computer."""

from __future__ import annotations

import os
import shutil
import sys

from tinyllm.errors import UserError

COMPILERS = ("cc", "gcc", "clang")
REMEDIES = {"darwin": "xcode-select --install", "win32": "install MSYS2 and its gcc"}


def find_compiler() -> str:
    """Path of a C compiler: CC, or the first of COMPILERS. Without one, raises UserError that says how to get one."""
    wanted = (os.environ["CC"],) if os.environ.get("CC") else COMPILERS
    for name in wanted:
        if path := shutil.which(name):
            return path
    remedy = REMEDIES.get(sys.platform, "sudo apt-get install gcc")
    raise UserError(f"no C compiler on PATH (looked for {', '.join(wanted)}); to get one: {remedy}")
