"""Builds an emitted project with PlatformIO, in a process of its own (worker.py) and a core folder of ours."""

from __future__ import annotations

import enum
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from tinyllm.cache_folder import home_path
from tinyllm.errors import Failure, UserError
from tinyllm.host.build.objects import objects_folder
from tinyllm.text import holds_surrogates

SCONSIGN = Path(__file__).with_name("sconsign.py")
"""The last extra script that PlatformIO runs before the board's platform."""

PROGRAM_NAMES = ("program", "program.exe", "firmware.elf")
"""Names of the compiled program: our platform's, then that of PlatformIO's platforms for real boards."""


class Voice(enum.Enum):
    """Prefixes of the lines that worker.py or our platform's builder prints for the person, not for the log."""

    WRONG = "tinyllm: "
    """An error that the user can mend."""
    FAILED = "tinyllm failed: "
    OUT_OF_REACH = "tinyllm offline: "
    """A package that the board needs is neither installed nor in reach."""
    NOTE = "tinyllm note: "

    def say(self, text: str) -> None:
        """Print every line of the text with this prefix."""
        for line in text.splitlines():
            print(f"{self.value}{line}", flush=True)


WARNING = re.compile(r"^\S.*?:\d+:(?:\d+:)? warning: ")
ERRORS = (
    re.compile(r"^\S.*?:\d+:(?:\d+:)? (?:fatal )?error: "),
    re.compile(r"undefined reference to|multiple definition of|Undefined symbols|duplicate symbol"),
    re.compile(r"^\S*\bld(?:\.\w+)?: "),
    re.compile(r"^(?:error|fatal): "),
    re.compile(r"^(?:\w+\.)*[A-Z]\w*[a-z]\w*:(?: |$)"),
)
"""Errors of a compiler, a linker (two), git and PlatformIO (`UnknownPlatform: ...`). The first kind found causes the
others."""

TRACEBACK = "Traceback (most recent call last):"
EXCEPTION = re.compile(r"^(?:\w+\.)*[A-Z]\w*(?::|$)")
CONNECTION = re.compile(
    r"HTTPClientError|InternetConnectionError|ConnectionError|ConnectTimeout|ReadTimeout|SSLError|ProxyError"
    r"|ChunkedEncodingError|[Cc]ould not resolve host|unable to access '|Max retries exceeded"
    r"|RPC failed|early EOF|unexpected disconnect"
)
"""What PlatformIO, requests or git print if a download failed."""
NO_ROOM = re.compile(r"No space left on device|Disk quota exceeded|not enough space on the disk", re.IGNORECASE)
"""The system's words for a full disk. The assembler's complaint after it, a missing object file, would mislead."""
LONGEST_CAUSE = 300
"""A message shows at most so many characters of one line of the log."""

LONG_PATHS = (
    "git may not make so long a path on Windows until you allow it: run `git config --system core.longpaths true`; "
    "docs/boards.md has the rest."
)

STEP = re.compile(
    r"^(?:Compiling|Archiving|Linking|Uploading|Writing at|Loading into Flash:|Submodule path"
    r"|(?:Tool|Platform) Manager: Installing) (?!symlink:)"
)


class OutOfReach(Failure):
    """A package that the board's platform needs is not installed and cannot be fetched."""


@dataclass(frozen=True)
class BuildResult:
    """The result of a build.

    program: the executable or ELF image.
    objects: the folder of the object files of src/, with the same folders in it.
    seconds: wall time of PlatformIO's run.
    warnings: the compiler's warning lines, each once. Only of files that this run compiled: none if all was up to date.
    log: the file with all that PlatformIO and the compiler printed.
    """

    program: Path
    objects: Path
    seconds: float
    warnings: tuple[str, ...]
    log: Path


def run(
    project_dir: Path,
    environment: str,
    *,
    targets: Sequence[str] = (),
    upload_port: str | None = None,
    progress: Callable[[str], None] | None = None,
    failed_log: Path | None = None,
) -> BuildResult:
    """Build `environment` of the project's platformio.ini, and carry out `targets` ("upload") if there are any.

    upload_port: the board's port; None lets PlatformIO find it.

    failed_log: where the log is moved if the build fails, for a project that is then deleted; None leaves it in place.

    `progress` gets one short line per step. Nothing else is written outside the project and the core folder.
    Raises UserError for a folder that is no project, an unknown environment, no compiler, an upload that the board does
    not describe; OutOfReach if a package that the board needs cannot be fetched; Failure, with the first errors and the
    log's path, if the build or the upload fails.
    """
    project = project_dir.absolute()
    lines, code, seconds = _run(project, environment, targets, upload_port, progress)
    log = project / ".pio" / f"{environment}.log"
    build = project / ".pio" / "build" / environment
    program = next((build / name for name in PROGRAM_NAMES if (build / name).is_file()), None)
    failed = code != 0
    if failed_log is not None and log.exists() and (failed or program is None):
        log = log.replace(failed_log)
    if failed:
        raise _explain(lines, " and ".join([f"{environment}: build", *targets]), log)
    if program is None:
        raise Failure(f"{build}: PlatformIO reported success and left no program; its log is {log}")
    warnings = tuple(dict.fromkeys(line for line in lines if WARNING.match(line)))
    return BuildResult(program, build / "src", seconds, warnings, log)


def run_target(
    project_dir: Path,
    environment: str,
    target: str,
    upload_port: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> None:
    """Carry out a target that compiles nothing. Arguments and errors as run."""
    project = project_dir.absolute()
    lines, code, _ = _run(project, environment, [target], upload_port, progress)
    if code != 0:
        raise _explain(lines, f"{environment}: {target}", project / ".pio" / f"{environment}.log")


def _run(
    project: Path,
    environment: str,
    targets: Sequence[str],
    upload_port: str | None,
    progress: Callable[[str], None] | None,
) -> tuple[list[str], int, float]:
    """The lines that PlatformIO printed, its exit code, and the seconds that it took."""
    if not (project / "platformio.ini").is_file():
        raise UserError(f"{project}: not a PlatformIO project (it has no platformio.ini); `tinyllm build` writes one.")
    if (problem := _unsuited(str(project))) is not None:
        raise UserError(f"{project}: PlatformIO cannot build in a folder with {problem}; move the project.")
    command = [sys.executable, "-m", "tinyllm.host.build.worker", str(project), environment]
    for target in targets:
        command += ["-t", target]
    if upload_port is not None:
        command += ["--upload-port", upload_port]
    begin = time.monotonic()
    try:
        lines, code = _listen(command, project / ".pio" / f"{environment}.log", progress or (lambda line: None))
    except OSError as error:
        raise UserError(f"{project}: cannot build here: {error.strerror or error}.") from error
    return lines, code, time.monotonic() - begin


def _unsuited(path: str) -> str | None:
    """The part of a project's path that PlatformIO or SCons cannot handle, in words; None if there is none."""
    if "$" in path:
        return "a $ in its path"
    if path.endswith(" "):
        return "a space at the end of its name"
    return "a name that is not UTF-8" if holds_surrogates(path) else None


def _listen(command: Sequence[str], log: Path, progress: Callable[[str], None]) -> tuple[list[str], int]:
    """The lines that the process printed, and its exit code. The log is opened at PlatformIO's first line."""
    lines: list[str] = []
    with ExitStack() as stack:
        process = stack.enter_context(_started(command))
        assert process.stdout is not None
        record: TextIO | None = None
        for line in process.stdout:
            lines.append(line.rstrip())
            if line.startswith(Voice.NOTE.value):
                progress(line.rstrip().removeprefix(Voice.NOTE.value))
                continue
            if record is None and not any(line.startswith(voice.value) for voice in Voice):
                log.parent.mkdir(exist_ok=True)
                record = stack.enter_context(log.open("w", encoding="utf-8"))
            if record is not None:
                record.write(line)
            if STEP.match(line):
                progress(line.rstrip())
    return lines, process.returncode


def _variables() -> dict[str, str]:
    """The process's environment: no telemetry, no check for updates, the folders that we expect, English messages.

    All paths are absolute, because the process starts in another folder.
    """
    variables = {
        name: value
        for name, value in os.environ.items()
        if not (name.startswith("PLATFORMIO_") and name.endswith("_DIR") and name != "PLATFORMIO_CORE_DIR")
        and name not in ("SCONSFLAGS", "LANGUAGE")
    }
    variables.update(
        PLATFORMIO_DISABLE_UPGRADE_CHECK="true",
        PLATFORMIO_SETTING_ENABLE_TELEMETRY="No",
        PLATFORMIO_NO_ANSI="true",
        PYTHONIOENCODING="utf-8",
        LC_ALL="C.UTF-8",
        TINYLLM_HOME=str(home_path()),
        PLATFORMIO_BUILD_CACHE_DIR=str(objects_folder()),
        PLATFORMIO_EXTRA_SCRIPTS=f"{os.environ.get('PLATFORMIO_EXTRA_SCRIPTS', '')}\npre:{SCONSIGN}".strip(),
        # ccache does not know the call graph that gcc writes beside an object, and would lose it.
        CCACHE_DISABLE="1",
    )
    if chosen := variables.get("PLATFORMIO_CORE_DIR"):
        variables["PLATFORMIO_CORE_DIR"] = str(Path(chosen).expanduser().absolute())
    return variables


@contextmanager
def _started(command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """The process, with stderr in stdout. The context waits for its end; an exception ends it and its children.

    They also end whenever this process ends, because their standard input closes then. The process starts in Python's
    own folder, because Python imports modules from the folder that it starts in, and a project may hold a json.py.
    """
    with subprocess.Popen(
        command,
        cwd=sys.prefix,
        env=_variables(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        start_new_session=os.name == "posix",
    ) as process:
        try:
            yield process
            process.wait()
        except BaseException:
            if sys.platform == "win32":
                process.terminate()
            else:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
            raise


def _explain(lines: Sequence[str], work: str, log: Path) -> UserError | Failure:
    """The error to raise when `work` failed, from what it printed."""
    for voice, kind in ((Voice.WRONG, UserError), (Voice.FAILED, Failure), (Voice.OUT_OF_REACH, OutOfReach)):
        if said := [line.removeprefix(voice.value) for line in lines if line.startswith(voice.value)]:
            return kind("\n".join(said))
    if full := next((line for line in lines if NO_ROOM.search(line)), None):
        return UserError(f"a disk is full, make room on it: {full[:LONGEST_CAUSE]}")
    causes = _causes(lines)
    if any("Filename too long" in cause for cause in causes):
        return UserError(f"{causes[0][:LONGEST_CAUSE]}\n{LONG_PATHS}")
    more = f" (and {len(causes) - 2} more)" if len(causes) > 2 else ""
    shown = [
        f"{cause[:LONGEST_CAUSE]} ..." if len(cause) > LONGEST_CAUSE else cause.rstrip(": ") for cause in causes[:2]
    ]
    kind = OutOfReach if any(CONNECTION.search(cause) for cause in causes[:2]) else Failure
    return kind("\n".join([*shown, f"{work} failed{more}; the whole log is {log}"]))


def _causes(lines: Sequence[str]) -> list[str]:
    """The lines that say why the build failed, the most telling first."""
    for kind in ERRORS[:-1]:
        if causes := [line for line in lines if kind.search(line)]:
            return causes
    if crashes := [number for number, line in enumerate(lines) if line.endswith(TRACEBACK)]:
        return [_last_exception(lines[crashes[-1] + 1 :])]
    if causes := [line for line in lines if ERRORS[-1].search(line)]:
        return causes
    return [line for line in lines if line and not line.startswith("=")][-2:]


def _last_exception(lines: Sequence[str]) -> str:
    """The exception line of a traceback without its first line. Ignores the advice that PlatformIO prints after it."""
    found = "an unknown error"
    for line in lines:
        if line.startswith("===="):
            break
        if EXCEPTION.match(line):
            found = line
    return found
