"""Compile as the board's manifest and the project say, and link what comes of it into one relocatable object."""

import json
from pathlib import Path

from SCons.Script import COMMAND_LINE_TARGETS, Default, DefaultEnvironment

env = DefaultEnvironment()
board = env.BoardConfig()

for tool in ("gcc", "g++", "ar", "gnulink"):
    env.Tool(tool)
prefix, cpu = board.get("build.prefix"), board.get("build.cpu").split()
env.Replace(
    CC=f"{prefix}gcc",
    CXX=f"{prefix}g++",
    AR=f"{prefix}gcc-ar",
    RANLIB=f"{prefix}gcc-ranlib",
    LINK="$CC",
    PROGNAME="firmware",
    PROGSUFFIX=".elf",
)
env.Append(
    CCFLAGS=["-Os", "-Wall", "-Wextra", "-Wconversion", "-Werror", *cpu, *board.get("build.library").split()],
    CFLAGS=["-std=gnu99"],
    CXXFLAGS=["-std=gnu++11", "-fno-exceptions", "-fno-rtti"],
    LINKFLAGS=["-r", "-nostdlib", *cpu],
)

program = env.BuildProgram()
Default(program)

seen = {
    "defines": [
        "=".join(map(str, one)) if isinstance(one, (tuple, list)) else one for one in env.get("CPPDEFINES", [])
    ],
    "partitions": board.get("build.partitions", board.get("build.arduino.partitions", "default.csv")),
    "memory_type": board.get("build.arduino.memory_type", ""),
    "flash_size": board.get("upload.flash_size", ""),
    "framework": env["PIOFRAMEWORK"],
    "upload_port": env.subst("$UPLOAD_PORT"),
}
(Path(env.subst("$PROJECT_DIR")) / "seen.json").write_text(json.dumps(seen))
assert not set(COMMAND_LINE_TARGETS) - {"upload"}
env.AddPlatformTarget("upload", program, env.VerboseAction("$UPLOADCMD", "Uploading $SOURCE"), "Upload")
