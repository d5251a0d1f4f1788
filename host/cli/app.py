"""The command line: the verbs, and how their errors reach a person."""

from __future__ import annotations

import importlib.metadata
import os
import sys
import traceback
import warnings
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from tinyllm.boards.description import BOARDS_DIR
from tinyllm.errors import TinyllmError
from tinyllm.host.cli import bench as verbs_bench
from tinyllm.host.cli import boards as verbs_look
from tinyllm.host.cli import build as verbs_build
from tinyllm.host.cli import flash as verbs_flash
from tinyllm.host.cli import inspect as verbs_inspect
from tinyllm.host.cli import models as verbs_models
from tinyllm.host.cli import run as verbs_talk
from tinyllm.host.cli import verify as verbs_prove
from tinyllm.host.output import Output

app = typer.Typer(
    name="tinyllm",
    help="Language models on microcontrollers: a checkpoint goes in, a board that talks comes out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verb in (
    verbs_look.boards,
    verbs_look.ports,
    verbs_models.models,
    verbs_models.pull,
    verbs_look.doctor,
    verbs_inspect.inspect,
    verbs_build.build,
    verbs_flash.flash,
    verbs_talk.run,
    verbs_talk.chat,
    verbs_prove.verify,
    verbs_prove.evaluate,
    verbs_bench.bench,
):
    app.command(name="eval" if verb is verbs_prove.evaluate else None)(verb)

INTERRUPTED = 130


def show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"tinyllm {importlib.metadata.version('tinyllm')}\n")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version and leave.")
    ] = False,
    boards_dir: Annotated[
        Path | None,
        typer.Option("--boards-dir", metavar="DIR", help="A folder with board TOMLs of your own."),
    ] = None,
) -> None:
    """Options before the verb."""
    if boards_dir is not None:
        os.environ[BOARDS_DIR] = str(boards_dir)


def main() -> None:
    """Run the command line and exit with its code: 0, 1 for a failure, 2 for the user's mistake, 130 for Ctrl-C."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit code; every error becomes one or two lines on stderr, and with --json a document on stdout too."""
    as_json = "--json" in arguments
    warnings.showwarning = _show_warning
    try:
        code = typer.main.get_command(app).main(args=arguments, prog_name="tinyllm", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except TinyllmError as error:
        return _report(type(error).__name__, str(error), error.exit_code, as_json)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; so that the interpreter's last flush does not complain, it goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if hasattr(error, "format_message"):
            complaint = error.format_message()
            if not complaint:
                return 2  # Without a verb: the help has been shown.
            return _report("UsageError", f"{complaint} See `tinyllm --help`.", 2, as_json)
        if os.environ.get("TINYLLM_TRACEBACK"):
            traceback.print_exc()
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        message = f"{type(error).__name__} in {where}: {error}. This is a bug; TINYLLM_TRACEBACK=1 shows the traceback."
        return _report("Bug", message, 1, as_json)


def _show_warning(message: Warning | str, *where: object, **rest: object) -> None:
    """What a reader had to settle for itself, in one line; where in our code it did is of no use to a person."""
    Output().note(f"note: {message}")


def _report(kind: str, message: str, code: int, as_json: bool) -> int:
    if as_json:
        Output(as_json).document({"error": {"kind": kind, "message": message, "exit_code": code}})
    Output().stderr.print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True)
    return code


if __name__ == "__main__":
    main()
