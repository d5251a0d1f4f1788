"""Emit a model as a library: one set of sources for Arduino, PlatformIO, ESP-IDF and the Pico SDK.

    library.json, library.properties     for PlatformIO and the Arduino IDE
    LICENSE                              of the C; the weights are under that of the model
    CMakeLists.txt, idf_component.yml    for ESP-IDF and the Pico SDK, unless both cores compute: only Arduino does that
    src/TinyLLM.h                        the C++ class, and the memory that it takes
    src/TinyLLM/                         library.h, the same in C, and all sources in one folder
    examples/                            sketches, and a program in plain C

An include finds the header beside the file first. So one folder needs no compiler options, and no name in it clashes
with one elsewhere. All else is as in a project, without console and ports.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from tinyllm.boards.description import FIRMWARE, Board
from tinyllm.codegen.actions.plan import actions_of
from tinyllm.codegen.arithmetic.integer_model import IntegerModel
from tinyllm.codegen.chat.derive import Unsuited
from tinyllm.codegen.emit.chat_template import board_plan
from tinyllm.codegen.emit.project import (
    IDENTITY,
    NO_LAYOUT,
    Manifest,
    Project,
    check_vocabulary,
    firmware_files,
    hash_of,
    package_version,
    source_files,
)
from tinyllm.codegen.emit.render import render
from tinyllm.codegen.kernels.choose import kernel_set_of
from tinyllm.codegen.kernels.generic import GENERIC
from tinyllm.codegen.memory.placement import Placement
from tinyllm.codegen.memory.plan import PROGRAM, MemoryNeeds
from tinyllm.codegen.memory.stack import LIBRARY_STACK
from tinyllm.codegen.tokenizers.tables import integer_bytes
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer
from tinyllm.errors import UserError
from tinyllm.text import harmless_name

ANY_BOARD = Board(
    name="any",
    description="any board: the portable C, and no limit of memory known",
    chip="any",
    instruction_set=GENERIC.name,
    cores=1,
    clock_mhz=None,
    memory=None,
    usb=(),
    platformio={},
    ports=(),
)
"""The board of a library if nobody names one."""
FOLDER = "src/TinyLLM"
OF_CONSOLE = ("answer", "settings", "actions", "decimal")
"""The files of the console that a library needs too, without their endings."""
ONE_CORE = "#define TL_CORES 1"
STORY, STORIES = "Once upon a time", ("The little dog", " and then")
CHAT, CHATS = "Hello! Who are you?", ("Who was Napoleon?", "What can you do?")
COMMAND = ("light.set", "Turn on the light in the kitchen, please.")


def library_board(board: Board | None, cores: int = 1) -> Board:
    """The board that a library is planned for: as a sketch finds it, with its static RAM and no PSRAM.

    cores: how many compute. Raises UserError for a second core unless the board has one and an Arduino core.
    """
    if cores > 1 and (board is None or board.cores < cores or "arduino" not in board.ports):
        lacking = "without --board the library is for any" if board is None else f"{board.name} has none for a sketch"
        raise UserError(
            f"--cores {cores}: the second core is an Arduino core's of a board that has two, and {lacking}. Give "
            "--board pico2, esp32s3 or another such board of `tinyllm boards`, or leave --cores out."
        )
    if board is None:
        return ANY_BOARD
    memory = None if board.memory is None else replace(board.memory, psram=0)
    return replace(board, memory=memory, cores=cores, ports=(), weights=None, actions=None)


def emit_library(model: IntegerModel, tokenizer: Tokenizer, board: Board, needs: MemoryNeeds) -> Project:
    """The library of a model, not written anywhere yet.

    board: from library_board. needs: those of this model on that board. The free RAM belongs to the sketch, so nothing
    is copied there at the start. Raises UserError if model and tokenizer disagree.
    """
    check_vocabulary(model, tokenizer)
    needs = replace(needs, placed=Placement())
    sources = _sources(model, tokenizer, board, needs)
    fields = _fields(model, tokenizer, board, needs)
    files = sources | _frame(fields | {"sources": sorted(name for name in sources if name.endswith(".c"))})
    hashes = {name: hash_of(files[name].encode()) for name in sorted(files)}
    manifest = Manifest(
        model=harmless_name(model.config.name),
        model_hash=model.short_digest(),
        build_id=hashlib.sha256(json.dumps(hashes).encode()).hexdigest()[:16],
        board=board.name,
        context=model.config.context,
        cache_in=needs.cache_in,
        state_in=needs.state_in,
        weights_in=PROGRAM,
        layout=NO_LAYOUT.hex(),
        files=hashes,
    )
    return Project(board, files, manifest, needs)


def _sources(model: IntegerModel, tokenizer: Tokenizer, board: Board, needs: MemoryNeeds) -> dict[str, str]:
    """The C sources, all in one folder, without those that only the console, its ports and its greeting need."""
    folders = firmware_files(board, model) | _library_files() | source_files(model, tokenizer, board, needs)
    if board.cores > 1:
        folders |= _second_core(folders["engine/parallel.h"])
    files: dict[str, str] = {}
    for path, text in folders.items():
        place = PurePosixPath(path)
        if path == IDENTITY.removeprefix("src/") or (place.parts[0] == "console" and place.stem not in OF_CONSOLE):
            continue
        name = f"{FOLDER}/{place.name}"
        assert name not in files, f"two sources are named {place.name}"
        files[name] = text
    return files


def _second_core(parallel: str) -> dict[str, str]:
    """The files of an Arduino core's second core, and parallel.h with TL_CORES 2.

    A library cannot pass TL_CORES to a sketch's compiler as an option.
    """
    port = FIRMWARE / "ports" / "arduino"
    files = {f"port/{name}": (port / name).read_text("utf-8") for name in ("second_core.cpp", "second_core.h")}
    assert parallel.count(ONE_CORE) == 1
    return files | {"engine/parallel.h": parallel.replace(ONE_CORE, "#define TL_CORES 2")}


def _library_files() -> dict[str, str]:
    folder = FIRMWARE / "library"
    return {f"library/{path.name}": path.read_text(encoding="utf-8") for path in sorted(folder.iterdir())}


def _frame(fields: dict[str, Any]) -> dict[str, str]:
    """The files around the C sources: the class, the examples, and the files that each build system reads."""
    # No licence: PlatformIO would fetch a list of licences to check it, and refuse the library where it cannot.
    about = {
        "name": "TinyLLM",
        "version": fields["version"],
        "description": f"{fields['name']}, a language model that runs on the board, for {fields['target']}",
        "frameworks": "*",
        "platforms": "*",
        "headers": "TinyLLM.h",
        "build": {"flags": "-O2"},
    }
    examples = ["AskOnce", "Chat", "Conversations", *(["Actions"] if fields["calls"] else [])]
    plain, files = ["README.md", "LICENSE", "library.properties"], {}
    if fields["cores"] == 1:
        plain += ["CMakeLists.txt", "idf_component.yml"]
        files = {"examples/PlainC/PlainC.c": render("library/PlainC.c", **fields)}
    return (
        files
        | {name: render(f"library/{name}", **fields) for name in plain}
        | {"library.json": json.dumps(about, indent=2, ensure_ascii=False) + "\n"}
        | {"src/TinyLLM.h": render("library/TinyLLM.h", **fields)}
        | {f"examples/{name}/{name}.ino": render(f"library/{name}.ino", **fields) for name in examples}
    )


def _fields(model: IntegerModel, tokenizer: Tokenizer, board: Board, needs: MemoryNeeds) -> dict[str, Any]:
    """The fields of the templates in templates/library/."""
    config, plan = model.config, actions_of(model.config.actions, tokenizer)
    calls = [] if plan is None else list(plan.catalogue.calls)
    try:
        chat = board_plan(config, tokenizer, needs.plan.text_max) is not None
    except Unsuited:
        chat = False
    question, (other, following) = (CHAT, CHATS) if chat else (STORY, STORIES)
    return {
        "name": harmless_name(config.name),
        "target": "any board" if board.name == ANY_BOARD.name else board.name,
        "version": ".".join(re.findall(r"\d+", package_version())[:3]),
        "context": config.context,
        "flash": needs.total.flash,
        "ram": needs.total.ram,
        "stack": LIBRARY_STACK,
        "conversation_bytes": _conversation_bytes(config.context, tokenizer),
        "kernel_set": kernel_set_of(board).name,
        "cores": board.cores,
        "chat": chat,
        "calls": calls,
        "question": question,
        "other_question": other,
        "next_question": following,
        "command": COMMAND[1] if COMMAND[0] in calls else question,
    }


def _conversation_bytes(context: int, tokenizer: Tokenizer) -> int:
    """Bytes of a struct tinyllm_conversation: the state of the random numbers, the number of tokens, the tokens."""
    size = 8 + 4 + integer_bytes(tokenizer.vocab_size) * context
    return -(-size // 8) * 8
