"""Compiles every C file below src/ into `program`, with the compiler that the board's JSON names.

PlatformIO runs this file inside SCons. A board of this platform is a JSON file under boards/: the first of its
`build.compilers` that is on PATH is taken; its `build.extra_flags` come before the project's build_flags, so that the
project has the last word. A line that starts with "tinyllm: " is for the person who asked for the build.
"""

from __future__ import annotations

import os
import shutil
import sys
from typing import NoReturn

from SCons.Script import COMMAND_LINE_TARGETS, Default, DefaultEnvironment

env = DefaultEnvironment()
board = env.BoardConfig()


def stop(message: str) -> NoReturn:
    """End the build and tell the person what to mend."""
    sys.stderr.write(f"tinyllm: {message}\n")
    sys.exit(1)


def choose_compiler() -> str:
    """The first of the board's compilers that is on PATH."""
    names = board.get("build.compilers")
    for name in names:
        if shutil.which(name, path=env["ENV"].get("PATH", "")):
            return str(name)
    remedy = board.get("build.install_compiler").get(sys.platform, f"install {names[-1]} and put it on PATH")
    stop(f"no C compiler on PATH (looked for {', '.join(names)}); to get one: {remedy}")


def check_upload() -> None:
    """An upload that nobody described must not look as if it had happened."""
    if env.subst("$UPLOAD_PROTOCOL") != "custom":
        stop(
            f"board {board.id} has no upload of its own; "
            "set upload_protocol = custom and upload_command in platformio.ini"
        )
    if not env.GetProjectOption("upload_command"):
        stop("upload_protocol = custom needs an upload_command in platformio.ini, and there is none")


if "upload" in COMMAND_LINE_TARGETS:
    check_upload()

env.Tool("gcc")
env.Tool("gnulink")
env.Replace(CC=choose_compiler(), LINK="$CC", PROGSUFFIX=".exe" if os.name == "nt" else "")

program = env.BuildProgram()
Default(program)
env.AddPlatformTarget("upload", program, env.VerboseAction("$UPLOADCMD", "Uploading $SOURCE"), "Upload")
