"""The command line: the table of verbs, and how errors are reported.

A verb's module is imported only when the verb is called, so that `tinyllm --help` and `tinyllm --version` answer at
once.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import gc
import importlib
import importlib.metadata
import os
import sys
import traceback
import warnings
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from tinyllm.boards.description import BOARDS_DIR
from tinyllm.errors import TinyllmError
from tinyllm.host.output import Output
from tinyllm.host.standard_streams import OutputLost, open_standard_streams, run_to_the_end
from tinyllm.text import shown

VERBS = {
    "boards": "List the boards that tinyllm knows, and what is attached.",
    "ports": "List the serial ports, and the boards that may be on them.",
    "monitor": "Show what a board says, and type to it.",
    "models": "List or remove models: bundled, pulled, and to be pulled.",
    "pull": "Fetch a checkpoint from the Hugging Face Hub.",
    "doctor": "Check what this machine has of what a build and a board need.",
    "inspect": "Show what a checkpoint is, its parts and its sizes.",
    "fit": "Say which boards a model fits, how fast it would be there, and what to change.",
    "build": "Write the C for a model and compile it.",
    "library": "Write a model as a library for your own sketch.",
    "flash": "Build, upload to the board, and check that it runs what was built.",
    "run": "Give the model a prompt and stream its answer.",
    "chat": "Talk with the model.",
    "serve": "Let programs that speak OpenAI's API talk with the model.",
    "web": "Write a page that flashes boards and talks with them in a browser.",
    "verify": "Compare the emitted C, or a board, with the reference bit by bit.",
    "eval": "Measure the perplexity: the float model, and the integers of a board.",
    "pairs": "Write the training data of a chat model that answers commands with calls.",
    "grade": "Ask a chat model questions with known answers, and count the right ones.",
    "bench": "Measure what a token takes on a board.",
    "train": "Train a small model from text or pairs.",
    "stories": "Write stories of a model, to train a smaller one on.",
}
"""Verb -> its line in `tinyllm --help`. The verb is `command` in the module of that name in this package."""

NO_ROOM = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
"""Error numbers for a full disk, a used-up quota and a file beyond the size limit."""
INTERRUPTED = 130
_JSON = click.Option(["--json", "as_json"], is_flag=True)
"""Read for a mistyped verb too, because nearly every verb has this option."""


class Verbs(click.Group):
    """The verbs of VERBS, each imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        gc.disable()  # Imported modules stay, and looking for garbage in them takes an eighth of the import's time.
        try:
            command: click.Command = importlib.import_module(f"tinyllm.host.cli.{name}").command
        finally:
            gc.freeze()
            gc.enable()
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in VERBS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], VERBS, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise click.UsageError(f"no verb is called {shown(args[0])}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete verbs from VERBS, because click's own way imports every verb; then the options."""
        verbs = [CompletionItem(verb, help=line) for verb, line in VERBS.items() if verb.startswith(incomplete)]
        return [*verbs, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


def show_version(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        click.echo(f"tinyllm {importlib.metadata.version('tinyllm')}")
        ctx.exit()


@click.group(
    cls=Verbs,
    subcommand_metavar="VERB [ARGUMENTS]",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--version", is_flag=True, callback=show_version, is_eager=True, help="Show the version and leave.")
@click.option(
    "--boards-dir", metavar="DIR", type=click.Path(path_type=Path), help="A folder with your own board TOMLs."
)
def tinyllm(version: bool, boards_dir: Path | None) -> None:
    """Language models on microcontrollers: a checkpoint goes in, a board that talks comes out."""
    if boards_dir is not None:
        os.environ[BOARDS_DIR] = str(boards_dir)


def main() -> None:
    """Run the command line and exit with its code: 0, 1 for a failure, 2 for the user's mistake, 130 for Ctrl-C."""
    open_standard_streams()
    sys.exit(run_to_the_end(lambda: run(sys.argv[1:])))


def run(arguments: list[str]) -> int:
    """Run a verb and return the exit code. An error becomes a line or two on stderr, and with --json a document too."""
    warnings.showwarning = _show_warning
    try:
        code = tinyllm.main(args=list(arguments), prog_name="tinyllm", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except TinyllmError as error:
        return _report(type(error).__name__, str(error), error.exit_code, arguments)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "")
        return 2
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        place = context.command_path if context else "tinyllm"
        return _report("UsageError", f"{error.format_message()} See `{place} --help`.", 2, arguments)
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        return 1  # The reader of our output has gone.
    except Exception as error:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            what = f"{error.filename or 'a file'}: {error.strerror}"
            return _report("Failure", f"{what}. Nothing is left half written; make room and try again.", 1, arguments)
        if os.environ.get("TINYLLM_TRACEBACK"):
            traceback.print_exc()
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(frame.filename).name}:{frame.lineno}"
        message = f"{type(error).__name__} in {place}: {error}. This is a bug; TINYLLM_TRACEBACK=1 shows the traceback."
        return _report("Bug", message, 1, arguments)


def _wants_json(arguments: list[str]) -> bool:
    """Whether --json was given as an option. Parses the arguments as far as they are valid."""
    verb = next((argument for argument in arguments if argument in VERBS), "")
    command = tinyllm.get_command(click.Context(tinyllm), verb) or click.Command("unknown", params=[_JSON])
    rest = arguments[arguments.index(verb) + 1 :] if verb else list(arguments)
    with contextlib.suppress(click.ClickException):
        context = command.make_context(
            verb, rest, resilient_parsing=True, ignore_unknown_options=True, allow_extra_args=True
        )
        return bool(context.params.get("as_json") or context.params.get("json_lines"))
    return False


def _show_warning(message: Warning | str, *place: object, **rest: object) -> None:
    """Show a warning as one line, without its place in our code, which does not help a person."""
    Output().note(f"note: {message}")


def _report(kind: str, message: str, code: int, arguments: list[str]) -> int:
    output = Output(_wants_json(arguments))
    output.error(message)
    if output.as_json:
        try:
            output.document({"error": {"kind": kind, "message": message, "exit_code": code}})
        except OutputLost as lost:
            output.error(str(lost))
    return code


if __name__ == "__main__":
    main()
