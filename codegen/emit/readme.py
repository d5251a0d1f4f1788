"""README.md of a project: how to build it and talk to it, what to edit first, the API, and what each file is."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from tinyllm.boards.description import TWIN, Board
from tinyllm.codegen.emit.render import render
from tinyllm.codegen.emit.upload_weights import SCRIPT, TARGET
from tinyllm.codegen.kernels.choose import kernel_set_of
from tinyllm.files import WEIGHTS

README = "README.md"

FILES = (
    ("platformio.ini", "the board, its platform, and the compiler's flags"),
    ("src/model.c", "the whole transformer, with its dimensions written out: read this to learn how it works"),
    ("src/model.h", "the dimensions, and where every byte of RAM is"),
    ("src/weights.c", "the weights, or how they are found beside the program"),
    ("src/vocabulary.c", "the tokens"),
    ("src/chat_template.h", "what stands around a turn of a chat, if the model has a template"),
    ("src/call_tables.h", "the calls that the model may make, if it makes any"),
    ("src/settings_table.c", "the settings of the sampler: ranges and defaults"),
    ("src/tables.c", "exp2, sigmoid and sine as integers"),
    ("src/identity.h", "what the program says that it is: model, build, board"),
    ("src/engine/", "tokenizer, conversation, sampler, attention"),
    ("src/kernels/", "the inner loops, those of the kernel set {kernels}"),
    ("src/console/", "the serial protocol, for people and for programs"),
    ("src/port/", "bytes in and out, clock and second core of this board"),
    (WEIGHTS, "the weights, beside the program; no other file depends on their values"),
    ("partitions.csv", "the flash of the board, with a place for the weights"),
    (SCRIPT, "uploads the weights"),
    ("platform/", "the PlatformIO platform that compiles it"),
    (".tinyllm.json", "what was written, so that no edit is lost"),
)
"""Path or folder -> what it is. A README lists those that its project has."""
ALWAYS = (".tinyllm.json",)
"""Those of FILES that are made when the project is written."""


def project_readme(
    board: Board, written: Collection[str], name: str, version: str, context: int, calls: Sequence[str]
) -> str:
    """The text of the README. written: the paths of the project's other files. name: the model's, or its layout's.

    calls: names of the calls that the model makes. If the weights lie beside the program, all models of a layout must
    have the same text.
    """
    return render(
        README,
        name=name,
        version=version,
        context=context,
        calls=calls,
        chat="src/chat_template.c" in written,
        board=board.name,
        twin_of=board.name.removesuffix(TWIN) if board.emulator else None,
        uploads=board.takes_uploads,
        script=SCRIPT in written,
        upload_weights=TARGET,
        steps=list(_steps(board, written)),
        files=[
            (path, text.format(kernels=kernel_set_of(board).name))
            for path, text in FILES
            if path in ALWAYS or any(name == path or (path[-1] == "/" and name.startswith(path)) for name in written)
        ],
    )


def _steps(board: Board, written: Collection[str]) -> Iterator[str]:
    """What a maker would change, the most likely first."""
    if "src/port/arduino.cpp" in written:
        yield (
            "`src/port/arduino.cpp`: your own work goes into `loop()`, beside `tl_console_poll()`, which waits for one "
            "pass through the model at most."
        )
    for name in ("src/port/port_actions.cpp", "src/port/port_actions.c"):
        if name in written:
            yield f"`{name}`: what a call of the model does."
    if board.actions is not None and "src/engine/calls.c" in written:
        yield "`platformio.ini`: the pins of the calls, `TL_ACTION_...` in `build_src_flags`."
    yield "`src/console/commands.c`: a command of your own beside `/help`."
    yield "`src/settings_table.c`: with which temperature, and other settings, the board starts."
