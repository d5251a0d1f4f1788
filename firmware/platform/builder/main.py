"""Compiles every C file below src/ with the first of the board's compilers that is on PATH.

PlatformIO runs this file inside SCons. A board of this platform is a JSON file under boards/. Its `build` has

    compilers          C compilers to look for, a cross-compiler by its full name (arm-none-eabi-gcc)
    install_compiler   how to get one, by sys.platform
    extra_flags        compiler flags; the project's build_flags come after them and so override them
    cpu_flags          optional: flags for the processor, for compiling and linking
    link_flags         optional
    specs              optional: a C library that some of the compilers come with; used if the compiler has it
    linker_script      optional: path from the project's folder. The board is then a chip, and the program is
                       firmware.elf, not `program`
    flat_image         optional: true also writes firmware.bin, the contents of the flash from its first byte on
    libraries          optional: libraries to link with, by sys.platform

The project's weights.bin, if it has one, is copied beside the program, because the host board and an emulator look
for it there. A line of output that starts with "tinyllm: " is for the user.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

from SCons.Script import COMMAND_LINE_TARGETS, Copy, Default, DefaultEnvironment

CALL_GRAPH = "-fcallgraph-info=su"

env = DefaultEnvironment()
board = env.BoardConfig()


def stop(message: str) -> NoReturn:
    """End the build with a message that says what to fix."""
    sys.stderr.write(f"tinyllm: {message}\n")
    sys.exit(1)


def choose_compiler() -> str:
    """The first of the board's compilers that is on PATH. Ends the build if none is."""
    names = board.get("build.compilers")
    for name in names:
        if shutil.which(name, path=env["ENV"].get("PATH", "")):
            return str(name)
    stop(f"no C compiler on PATH (looked for {', '.join(names)}); to get one: {remedy(names[0])}")


def remedy(compiler: str) -> str:
    """How to get the board's compiler and its C library."""
    remedies = board.get("build.install_compiler")
    return str(remedies.get(sys.platform, f"install {compiler} and put it on PATH"))


def has_file(compiler: str, name: str, flags: list[str]) -> bool:
    """Whether a cross-compiler comes with a file. For a file that it lacks it prints the name without a path."""
    found = shutil.which(compiler, path=env["ENV"].get("PATH", "")) or compiler
    query = [found, *flags, f"-print-file-name={name}"]
    return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip() != name


def choose_library(compiler: str, flags: list[str]) -> list[str]:
    """The flag that selects the board's C library; [] for the compiler's own. Ends the build if there is neither."""
    specs = board.get("build.specs", "")
    if specs and has_file(compiler, specs, flags):
        return [f"--specs={specs}"]
    if not has_file(compiler, "libc.a", flags):
        stop(f"{compiler} has no C library for this chip; to get one: {remedy(compiler)}")
    return []


def knows_flag(compiler: str, flag: str) -> bool:
    """Whether a compiler accepts a flag; clang and old gcc refuse flags that they do not know."""
    found = shutil.which(compiler, path=env["ENV"].get("PATH", "")) or compiler
    return subprocess.run([found, flag, "-E", "-x", "c", os.devnull], capture_output=True, check=False).returncode == 0


def check_upload() -> None:
    """End the build if the project describes no upload, so that it does not look as if one had happened."""
    if env.subst("$UPLOAD_PROTOCOL") != "custom":
        stop(
            f"board {board.id} has no upload of its own; "
            "set upload_protocol = custom and upload_command in platformio.ini"
        )
    if not env.GetProjectOption("upload_command"):
        stop("upload_protocol = custom needs an upload_command in platformio.ini, and there is none")


def with_call_graph(env: Any, source: Any) -> Any:
    """Compile a file, and tell SCons and its cache of the call graph that gcc writes beside the object."""
    stem = source.get_path().removesuffix(".c")  # in the build folder, as the object; str() is the source's own path
    return env.Object([f"{stem}.o", f"{stem}.ci"], source)[:1]


if "upload" in COMMAND_LINE_TARGETS:
    check_upload()

env.Tool("gcc")
env.Tool("gnulink")
compiler = choose_compiler()
env.Replace(CC=compiler, LINK="$CC", PROGSUFFIX=".exe" if os.name == "nt" else "")
cpu_flags = board.get("build.cpu_flags", "").split()
script = board.get("build.linker_script", "")
if script:
    cpu_flags += choose_library(compiler, cpu_flags)
    path = Path(env.subst("$PROJECT_DIR"), script)
    # The linker looks in the script's folder for the files that it includes.
    env.Append(LIBPATH=[str(path.parent)])
    env.Replace(PROGNAME="firmware", PROGSUFFIX=".elf", LDSCRIPT_PATH=str(path))
env.Append(LIBS=board.get("build.libraries", {}).get(sys.platform, []))
# gcc then writes each function's calls and stack beside its object; tinyllm adds up the deepest chain of calls.
if knows_flag(compiler, CALL_GRAPH):
    env.Append(CCFLAGS=[CALL_GRAPH])
    env.AddBuildMiddleware(with_call_graph, "*.c")
env.Append(CCFLAGS=cpu_flags, LINKFLAGS=cpu_flags + board.get("build.link_flags", "").split())

program = env.BuildProgram()
if script:
    env.Depends(program, [str(part) for part in path.parent.glob("*.ld")])
Default(program)
if board.get("build.flat_image", False):
    env.Replace(OBJCOPY=compiler.removesuffix("gcc") + "objcopy")
    copy = env.VerboseAction("$OBJCOPY -O binary $SOURCE $TARGET", "Writing $TARGET")
    Default(env.Command("$BUILD_DIR/${PROGNAME}.bin", program, copy))
weights = Path(env.subst("$PROJECT_DIR"), "weights.bin")
if weights.is_file():
    beside = env.VerboseAction(Copy("$TARGET", "$SOURCE"), "Writing $TARGET")
    Default(env.Command("$BUILD_DIR/weights.bin", str(weights), beside))
env.AddPlatformTarget("upload", program, env.VerboseAction("$UPLOADCMD", "Uploading $SOURCE"), "Upload")
