"""The process that PlatformIO runs in: python -m tinyllm.host.build.worker PROJECT ENVIRONMENT [OPTIONS OF PIO RUN].

It prepares PlatformIO's folder, checks that the packages that the environment needs are installed or in reach
(PlatformIO would find out only after a minute), and becomes `pio run`. PlatformIO is large: this way it is imported
once a build, and never for a cached build. Lines for the person begin with a Voice of platformio.py.

The process ends with all that it started when its standard input closes. The process that asked for the build is gone
then, and with it the lock of the project's folder.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from itertools import pairwise
from pathlib import Path

from platformio.__main__ import main as platformio_main
from platformio.exception import PlatformioException
from platformio.project.config import ProjectConfig

from tinyllm.cache_folder import core_dir
from tinyllm.errors import Failure, TinyllmError, UserError
from tinyllm.host.build.core_folder import missing_packages, out_of_reach, prepare
from tinyllm.host.build.objects import mend_objects
from tinyllm.host.build.platformio import Voice
from tinyllm.host.build.registry import registry_trouble


def main(project: Path, environment: str, options: list[str]) -> int:
    """Build, and return PlatformIO's exit code, or the exit code of the error that was printed."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    targets = [value for option, value in pairwise(options) if option == "-t"]
    os.environ["PLATFORMIO_CORE_DIR"] = str(core_dir())
    try:
        if _platform_of(project, environment).startswith("symlink://"):
            # PlatformIO keeps one link per folder name, so two projects with a platform/ would take each other's.
            os.environ["PLATFORMIO_PLATFORMS_DIR"] = str(project / ".pio" / "platforms")
        else:
            missing = missing_packages(project, environment, targets)
            if missing != [] and registry_trouble() is not None:
                Voice.OUT_OF_REACH.say(out_of_reach(environment, missing))
                return Failure.exit_code
        prepare(Voice.NOTE.say)
        mend_objects()
        unfinished = _begin(project, environment)
    except OSError as error:
        Voice.WRONG.say(f"{project}: cannot build here: {error.strerror or error}.")
        return UserError.exit_code
    except TinyllmError as error:
        (Voice.WRONG if isinstance(error, UserError) else Voice.FAILED).say(str(error))
        return error.exit_code
    code = int(platformio_main(["platformio", "run", "-d", str(project), "-e", environment, *options]))
    if code == 0:
        unfinished.unlink(missing_ok=True)
    return code


def _begin(project: Path, environment: str) -> Path:
    """Mark the build as begun, and return the mark. Removes the objects of a build that did not end well.

    SCons may have been killed before it recorded of which files it made those objects. Raises OSError.
    """
    unfinished, made = project / ".pio" / f"{environment}.unfinished", project / ".pio" / "build" / environment
    if unfinished.exists() and made.exists():
        shutil.rmtree(made)
    unfinished.parent.mkdir(exist_ok=True)
    unfinished.touch()
    return unfinished


def _end_with_parent() -> None:
    """Wait for the end of standard input, then end this process and its whole process group.

    Ends this process alone on Windows, and if it does not lead its group, because something else started it.
    """
    os.read(sys.stdin.fileno(), 1)
    if sys.platform == "win32" or os.getpgrp() != os.getpid():
        os._exit(1)
    os.killpg(0, signal.SIGKILL)


def _platform_of(project: Path, environment: str) -> str:
    """The platform of an environment in platformio.ini. UserError if there is no such environment or file."""
    ini = project / "platformio.ini"
    try:
        config = ProjectConfig(str(ini))
        known = config.envs()
        if environment not in known:
            raise UserError(f"{ini}: no environment {environment!r}; it has {', '.join(known) or 'none'}.")
        config.validate([environment], silent=True)
        return str(config.get(f"env:{environment}", "platform", ""))
    except (PlatformioException, UnicodeDecodeError) as error:
        raise UserError(f"{ini}: PlatformIO cannot read it: {error}") from error


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
