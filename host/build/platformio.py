"""Building an emitted project with PlatformIO, in a process of its own and a core folder of ours."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile
from platformio.exception import PlatformioException
from platformio.project.config import ProjectConfig

from tinyllm.errors import Failure, UserError
from tinyllm.host.build.core_folder import prepare
from tinyllm.text import holds_surrogates

PROGRAM_NAMES = ("program", "program.exe", "firmware.elf")
"""What a build leaves behind: our platform's names, then the one of PlatformIO's platforms for real boards."""

FOR_THE_USER = "tinyllm: "
"""How our platform's builder begins a line that says what the user has to mend."""

WARNING = re.compile(r"^\S.*?:\d+:(?:\d+:)? warning: ")
ERRORS = (
    re.compile(r"^\S.*?:\d+:(?:\d+:)? (?:fatal )?error: "),
    re.compile(r"undefined reference to|multiple definition of|Undefined symbols|duplicate symbol"),
    re.compile(r"^\S*\bld(?:\.\w+)?: "),
    re.compile(r"^[A-Z]\w*[a-z]\w*: "),
)
"""A compiler's, a linker's, PlatformIO's (`UnknownPlatform: ...`): the first kind found is the cause of the rest."""

STEP = re.compile(r"^(?:Compiling|Archiving|Linking|Uploading|(?:Tool|Platform) Manager: Installing) (?!symlink:)")


@dataclass(frozen=True)
class BuildResult:
    """What a build left.

    program: the executable or ELF image.
    seconds: wall time of PlatformIO's run.
    warnings: the compiler's warning lines, each once; only of what this run compiled, so none where all was up to date.
    log: everything PlatformIO and the compiler said.
    flash: bytes of the image's code, constants and initial data, counted from the sections of an ELF file; else None.
    ram: bytes of its static variables, counted likewise.
    """

    program: Path
    seconds: float
    warnings: tuple[str, ...]
    log: Path
    flash: int | None
    ram: int | None


def run(
    project_dir: Path,
    environment: str,
    *,
    targets: Sequence[str] = (),
    upload_port: str | None = None,
    progress: Callable[[str], None] | None = None,
    failed_log: Path | None = None,
) -> BuildResult:
    """Build `environment` of the project's platformio.ini, and carry out `targets` ("upload") where given.

    upload_port: where the board is; None leaves it to PlatformIO to find it.

    failed_log: where the log goes when the build fails, for a project that is then deleted; None leaves it where it is.

    `progress` gets one short line per step. Nothing else is written outside the project and the core folder.
    Raises UserError for a folder that is no project, an unknown environment, no compiler, an upload nobody described;
    Failure, with the first errors and the log's path, when the build or the upload fails.
    """
    progress = progress or (lambda line: None)
    project = project_dir.absolute()
    platform = _platform_of(project, environment)
    core = prepare(progress)
    command = [sys.executable, "-m", "platformio", "run", "-d", str(project), "-e", environment]
    for target in targets:
        command += ["-t", target]
    if upload_port is not None:
        command += ["--upload-port", upload_port]
    log = project / ".pio" / f"{environment}.log"
    lines: list[str] = []
    begin = time.monotonic()
    try:
        log.parent.mkdir(exist_ok=True)
        variables = _variables(core, project, platform)
        with log.open("w", encoding="utf-8") as record, _started(command, core, variables) as process:
            assert process.stdout is not None
            for line in process.stdout:
                record.write(line)
                lines.append(line.rstrip())
                if STEP.match(line):
                    progress(line.rstrip())
    except OSError as error:
        raise UserError(f"{project}: cannot build here: {error.strerror or error}.") from error
    seconds = time.monotonic() - begin
    build = project / ".pio" / "build" / environment
    program = next((build / name for name in PROGRAM_NAMES if (build / name).is_file()), None)
    failed = process.returncode != 0
    if failed_log is not None and (failed or program is None):
        log = log.replace(failed_log)
    if failed:
        raise _explain(lines, " and ".join([f"{environment}: build", *targets]), log)
    if program is None:
        raise Failure(f"{build}: PlatformIO reported success and left no program; its log is {log}")
    warnings = tuple(dict.fromkeys(line for line in lines if WARNING.match(line)))
    flash, ram = _section_sizes(program)
    return BuildResult(program, seconds, warnings, log, flash, ram)


def _platform_of(project: Path, environment: str) -> str:
    """The platform of an environment as platformio.ini names it; UserError for no such project or environment."""
    ini = project / "platformio.ini"
    if not ini.is_file():
        raise UserError(f"{project}: not a PlatformIO project (it has no platformio.ini); `tinyllm build` writes one.")
    if (problem := _unsuited(str(project))) is not None:
        raise UserError(f"{project}: PlatformIO cannot build in a folder with {problem}; move the project.")
    try:
        config = ProjectConfig(str(ini))
        known = config.envs()
        if environment not in known:
            raise UserError(f"{ini}: no environment {environment!r}; it has {', '.join(known) or 'none'}.")
        config.validate([environment], silent=True)
        return str(config.get(f"env:{environment}", "platform", ""))
    except (PlatformioException, UnicodeDecodeError) as error:
        raise UserError(f"{ini}: PlatformIO cannot read it: {error}") from error


def _unsuited(path: str) -> str | None:
    """What PlatformIO and SCons stumble over in the path of a project, in words."""
    if "$" in path:
        return "a $ in its path"
    if path.endswith(" "):
        return "a space at the end of its name"
    return "a name that is not UTF-8" if holds_surrogates(path) else None


def _variables(core: Path, project: Path, platform: str) -> dict[str, str]:
    """The process's environment: no telemetry, no look for updates, folders where we expect them, English messages."""
    variables = {
        name: value
        for name, value in os.environ.items()
        if not (name.startswith("PLATFORMIO_") and name.endswith("_DIR")) and name not in ("SCONSFLAGS", "LANGUAGE")
    }
    variables.update(
        PLATFORMIO_CORE_DIR=str(core),
        PLATFORMIO_DISABLE_UPGRADE_CHECK="true",
        PLATFORMIO_SETTING_ENABLE_TELEMETRY="No",
        PLATFORMIO_NO_ANSI="true",
        LC_ALL="C.UTF-8",
    )
    if platform.startswith("symlink://"):
        # PlatformIO keeps one link per folder name: of two projects with a platform/, each would take the other's away
        variables["PLATFORMIO_PLATFORMS_DIR"] = str(project / ".pio" / "platforms")
    return variables


@contextmanager
def _started(command: Sequence[str], core: Path, variables: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """The process, both its voices in stdout, waited for at the end; it does not outlive an interruption of the caller.

    It starts in the core folder because Python looks for modules where it starts, and a project may hold a json.py.
    """
    with subprocess.Popen(
        command,
        cwd=core,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        try:
            yield process
        except BaseException:
            process.terminate()
            raise


def _explain(lines: Sequence[str], work: str, log: Path) -> UserError | Failure:
    """The error to raise when `work` failed, from what it printed."""
    for line in lines:
        if line.startswith(FOR_THE_USER):
            return UserError(line.removeprefix(FOR_THE_USER))
    for kind in ERRORS:
        if causes := [line for line in lines if kind.search(line)]:
            break
    else:
        causes = [line for line in lines if line and not line.startswith("=")][-2:]
    more = f" (and {len(causes) - 2} more)" if len(causes) > 2 else ""
    return Failure("\n".join([*causes[:2], f"{work} failed{more}; the whole log is {log}"]))


def _section_sizes(program: Path) -> tuple[int | None, int | None]:
    """Bytes in flash (text + data) and in RAM (data + bss) of an ELF file, as binutils' `size` counts them."""
    flash = ram = 0
    try:
        with program.open("rb") as file:
            for section in ELFFile(file).iter_sections():
                if not section["sh_flags"] & SH_FLAGS.SHF_ALLOC:
                    continue
                if section["sh_type"] != "SHT_NOBITS":
                    flash += section["sh_size"]
                if section["sh_flags"] & SH_FLAGS.SHF_WRITE:
                    ram += section["sh_size"]
    except ELFError:
        return None, None
    return flash, ram
