"""Emit a model for a board as a self-contained PlatformIO project that a maker can open, read and keep.

    README.md            what to do with it; no part of the build id
    platformio.ini
    weights.bin          the weights, if they lie beside the program; with them upload_weights.py, and partitions.csv if
                         they are a partition
    platform/            our development platform, if the board needs it
    src/                 identity.h, model.*, weights.*, vocabulary.*, chat_template.*, call_tables.*, tables.*,
                         settings_table.*
    src/engine, console, port    the firmware, copied from this package
    src/kernels          the inner loops for the board's instruction set

The same model, board and options give the same bytes. write.py puts them into a folder.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from tinyllm.boards.board import WeightsPlace
from tinyllm.boards.description import FIRMWARE, OWN_PLATFORM, Board
from tinyllm.codegen.actions.plan import actions_of
from tinyllm.codegen.arithmetic import fixedpoint as fp
from tinyllm.codegen.arithmetic.integer_forward import dot_shift
from tinyllm.codegen.arithmetic.integer_model import MAX_K_SHIFT, IntegerModel
from tinyllm.codegen.arithmetic.sampler_settings import SETTINGS
from tinyllm.codegen.emit.call_tables import call_files
from tinyllm.codegen.emit.chat_template import chat_files
from tinyllm.codegen.emit.partitions import partition_table
from tinyllm.codegen.emit.readme import README, project_readme
from tinyllm.codegen.emit.render import render, rows
from tinyllm.codegen.emit.upload_weights import SCRIPT, upload_script
from tinyllm.codegen.emit.vocabulary import vocabulary_files
from tinyllm.codegen.emit.weights import WeightsApart, weight_files, weights_apart
from tinyllm.codegen.kernels.choose import kernel_set_of
from tinyllm.codegen.kernels.generic import GENERIC
from tinyllm.codegen.kernels.kernel_set import KernelSet
from tinyllm.codegen.memory.plan import PROGRAM, SLOTS_AT_ONCE, MemoryNeeds, memory_needs, widest_codes
from tinyllm.codegen.memory.weights_image import HASH_BYTES
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer
from tinyllm.errors import UserError
from tinyllm.files import WEIGHTS
from tinyllm.text import harmless_name

OF_ACTIONS = (
    "engine/calls.c",
    "console/actions.c",
    "console/simulation.c",
    "port/port_actions.c",
    "port/port_actions.cpp",
)
"""The files of src/ that only a model that makes calls needs."""
PARTITIONS = "partitions.csv"
FILE_SYSTEM = "board_build.filesystem_size"
NO_LAYOUT = bytes(HASH_BYTES)
"""The layout of a project whose weights are in the program."""
UNBUILT = ",".join(["0x00"] * 8)
IDENTITY = "src/identity.h"
"""The one file that holds the build id."""


PROJECT_FORMAT = 1
"""Of the files that a project consists of. It changes when an older tinyllm could not write such a project again."""


@dataclass(frozen=True)
class Manifest:
    """What a project was made from, and the hashes of its files.

    model_hash, build_id: hexadecimal, as the board says them in HELLO. cache_in, state_in, weights_in: as in
    MemoryNeeds. layout: the hash that a program and the weights beside it agree in, hexadecimal, as the board says it;
    zeros if the weights are in the program. files: path within the project -> sha256 in hexadecimal.
    """

    model: str
    model_hash: str
    build_id: str
    board: str
    context: int
    cache_in: str
    state_in: str
    weights_in: str
    layout: str
    files: dict[str, str]

    def text(self) -> str:
        """The JSON that is written to the project's folder."""
        return json.dumps({"format": PROJECT_FORMAT, **asdict(self)}, indent=1) + "\n"


@dataclass(frozen=True)
class Project:
    """An emitted project, not written anywhere yet.

    files: path within the project -> text. needs: what the program takes on the board. weights: the content of
    weights.bin, None if the weights are in the program.
    """

    board: Board
    files: dict[str, str]
    manifest: Manifest
    needs: MemoryNeeds
    weights: bytes | None = None

    @property
    def title(self) -> str:
        """What is built, in one line."""
        about = self.manifest
        return f"{about.model} for {about.board}, context {about.context}, build {about.build_id}"

    def content(self, name: str) -> str | bytes:
        """The content of one of the manifest's files."""
        return self.weights if name == WEIGHTS and self.weights is not None else self.files[name]


def emit_project(model: IntegerModel, tokenizer: Tokenizer, board: Board, needs: MemoryNeeds | None = None) -> Project:
    """Emit the project of a model for a board.

    needs: those of this model on this board, if already counted; they decide where the weights go. If that is beside
    the program, no file but weights.bin depends on their values. Raises UserError if model and tokenizer disagree.
    """
    check_vocabulary(model, tokenizer)
    needs = needs or memory_needs(model, tokenizer, board)
    apart = _apart(model, tokenizer, board, needs)
    files = {f"src/{name}": text for name, text in source_files(model, tokenizer, board, needs, apart).items()}
    files |= {f"src/{name}": text for name, text in firmware_files(board, model).items()}
    options = dict(board.platformio)
    # Everything is in src/: no library needs to be searched for.
    options["lib_ldf_mode"] = "off"
    # Our sources search these folders before a framework's, which may have a header with the same name as ours. SCons
    # looks for a file's dependencies only in the folders of -I.
    folders = ("src", "src/engine", "src/kernels", "src/console", "src/port")
    quoted = " ".join(f"-iquote {folder} -I {folder}" for folder in folders)
    cores = ["-DTL_CORES=2"] if board.cores > 1 else []
    hot = [f"-DTL_HOT_SECTION={needs.placed.hot_code.section}"] if needs.placed.hot_code else []
    led = board.actions.led_flags if board.actions is not None else []
    pins = board.actions.call_flags if board.actions is not None and model.config.actions is not None else []
    own = filter(None, [options.get("build_src_flags")])
    options["build_src_flags"] = " ".join([*own, *cores, *hot, *led, *pins, quoted])
    if options["platform"] == OWN_PLATFORM:
        options["platform"] = "symlink://${PROJECT_DIR}/platform"
        files |= {f"platform/{name}": text for name, text in _folder(FIRMWARE / "platform").items()}
    if apart is not None and board.weights is not None:
        options |= _place_of_weights(board.weights, options, files)
    if apart is not None and (script := upload_script(board)) is not None:
        files[SCRIPT] = script
        options["extra_scripts"] = ", ".join(filter(None, [options.get("extra_scripts"), f"post:{SCRIPT}"]))
    if "extra_scripts" in options:
        # One line a script: PlatformIO takes a line with commas as one name if its environment variable adds a script.
        options["extra_scripts"] = "\n    ".join(re.split(r",\s+|\s*\n\s*", options["extra_scripts"].strip()))
    files["platformio.ini"] = render(
        "platformio.ini", name=_shown_name(model, apart), version=package_version(), board=board, options=options
    )
    hashes = {name: hash_of(files[name].encode()) for name in sorted(files)}
    build_id = hashlib.sha256(json.dumps(hashes).encode()).digest()
    files[IDENTITY] = files[IDENTITY].replace(UNBUILT, _c_bytes(build_id[:8]))
    hashes[IDENTITY] = hash_of(files[IDENTITY].encode())
    if apart is not None:
        hashes[WEIGHTS] = hash_of(apart.image)
    plan = actions_of(model.config.actions, tokenizer)
    files[README] = project_readme(
        board,
        hashes,
        name=_shown_name(model, apart),
        version=package_version(),
        context=model.config.context,
        calls=[] if plan is None else list(plan.catalogue.calls),
    )
    hashes[README] = hash_of(files[README].encode())
    manifest = Manifest(
        model=harmless_name(model.config.name),
        model_hash=model.short_digest(),
        build_id=build_id[:8].hex(),
        board=board.name,
        context=model.config.context,
        cache_in=needs.cache_in,
        state_in=needs.state_in,
        weights_in=needs.weights_in,
        layout=NO_LAYOUT.hex() if apart is None else apart.layout.hex(),
        files=hashes,
    )
    return Project(board, files, manifest, needs, None if apart is None else apart.image)


def check_vocabulary(model: IntegerModel, tokenizer: Tokenizer) -> None:
    """Raise UserError if model and tokenizer disagree."""
    if tokenizer.vocab_size != model.config.vocab_size:
        raise UserError(
            f"{model.config.name} has {model.config.vocab_size} tokens, its tokenizer {tokenizer.vocab_size}; "
            "give the tokenizer that the model was trained with (--tokenizer)."
        )


def _place_of_weights(place: WeightsPlace, options: dict[str, str], files: dict[str, str]) -> dict[str, str]:
    """The options that keep the program out of the place; `files` gets the partition table if it is a partition.

    On a Pico the weights take the place of Arduino-Pico's file system, which ends before its EEPROM.
    """
    if place.address is None:
        files[PARTITIONS] = partition_table(place)
        return {"board_build.partitions": PARTITIONS}
    return {FILE_SYSTEM: f"{place.size}B"} if FILE_SYSTEM in options else {}


def _apart(model: IntegerModel, tokenizer: Tokenizer, board: Board, needs: MemoryNeeds) -> WeightsApart | None:
    """The weights beside the program; None if they are in the program."""
    if needs.weights_in == PROGRAM:
        return None
    vocabulary = vocabulary_files(tokenizer)
    return weights_apart(model, kernel_set_of(board), needs.placed.tables, needs.placed.psram, vocabulary)


def _shown_name(model: IntegerModel, apart: WeightsApart | None) -> str:
    """The name in the files: the model's, or that of the layout that all models of this program share."""
    return harmless_name(model.config.name) if apart is None else f"a model of layout {apart.layout.hex()}"


def source_files(
    model: IntegerModel, tokenizer: Tokenizer, board: Board, needs: MemoryNeeds, apart: WeightsApart | None = None
) -> dict[str, str]:
    """File name -> text of the files that are written for this model; the build id is still zero.

    apart: the weights beside the program, None if they are in the program.
    """
    config, plan, placed = model.config, needs.plan, needs.placed.tables
    place = board.weights
    fields = {
        "name": _shown_name(model, apart),
        "apart": apart is not None,
        "layout": _c_bytes(b"" if apart is None else apart.layout),
        "image_bytes": 0 if apart is None else len(apart.image),
        "weights_address": None if place is None else place.address,
        "weights_room": 0 if place is None else place.size,
        "board": board.name,
        "version": package_version(),
        "model": model,
        "config": config,
        "windowed": min(config.slots) < config.full_slots,
        "blocks": model.blocks,
        "plan": plan,
        "cache_in": needs.cache_in,
        "moved_bytes": sum(needs.placed.psram.values()),
        "state_in": needs.state_in,
        "slots_at_once": SLOTS_AT_ONCE,
        "rotary_half": len(model.rope_steps),
        "widest_hidden": max(config.hidden_dim, config.dim),
        "widest_codes": widest_codes(config),
        "most_group_rows": kernel_set_of(board).whole_groups(1),
        "input_bytes": kernel_set_of(board).input_bytes(widest_codes(config), model.has_int4),
        "cores": board.cores,
        "kernel_set": kernel_set_of(board).name,
        "dot_shift": dot_shift(config.head_dim),
        "model_hash": _c_bytes(model.digest()[:8]),
        "build_id": UNBUILT,
        "rope_steps": ", ".join(f"{step}u" for step in model.rope_steps),
        "k_shift": model.k_shift.tolist(),
        "max_k_shift": MAX_K_SHIFT,
        "head_name": "tl_embedding" if model.head is None else "tl_head",
    }
    return {
        "identity.h": render("identity.h", **fields),
        "model.h": render("model.h", **fields),
        "model.c": render("model.c", **fields),
        **table_files(placed),
        "settings_table.h": render("settings_table.h", settings=SETTINGS.values()),
        "settings_table.c": render("settings_table.c", settings=SETTINGS.values()),
        **(weight_files(model, kernel_set_of(board), placed, needs.placed.psram) if apart is None else apart.files),
        **vocabulary_files(tokenizer),
        **chat_files(config, tokenizer, plan.text_max),
        **call_files(actions_of(config.actions, tokenizer)),
    }


def table_files(copied: Collection[str] = ()) -> dict[str, str]:
    """File name -> text of the tables of the integer functions. copied: names of the tables that are copied to RAM."""
    tables = {
        "exp2": np.stack([fp.EXP2_TABLE[:-1], -np.diff(fp.EXP2_TABLE)], axis=1).ravel().tolist(),
        "softmax": fp.SOFTMAX_TABLE.tolist(),
        "sigmoid": fp.SIGMOID_TABLE.tolist(),
        "sine": fp.SINE_TABLE.tolist(),
    }
    return {
        "tables.h": render("tables.h", **tables, copied=copied),
        "tables.c": render(
            "tables.c", **tables, copied=copied, rows=lambda values: "\n".join(f"    {row}" for row in rows(values))
        ),
    }


def firmware_files(board: Board, model: IntegerModel) -> dict[str, str]:
    """Path within src/ -> text of the files of engine, kernels, console and the board's port that the model needs."""
    engine = FIRMWARE / "engine"
    files = {f"engine/{name}": text for name, text in _folder(engine).items() if "/" not in name}
    if (model.config.key_bits, model.config.value_bits) == (8, 8):
        files = {name: text for name, text in files.items() if not name.startswith("engine/cache_int4.")}
    files |= {f"kernels/{name}": text for name, text in kernel_files(kernel_set_of(board), model.has_int4).items()}
    files |= {f"console/{name}": text for name, text in _folder(FIRMWARE / "console").items()}
    files["port/port.h"] = (FIRMWARE / "ports/port.h").read_text(encoding="utf-8")
    for port in board.ports:
        files |= {f"port/{name}": text for name, text in _folder(FIRMWARE / "ports" / port).items()}
    if model.config.actions is None:
        files = {name: text for name, text in files.items() if name not in OF_ACTIONS}
    return files


def kernel_files(kernels: KernelSet, int4: bool = True) -> dict[str, str]:
    """Path within src/kernels/ -> text of a kernel set. Files that it lacks are its base's or the portable set's.

    int4: whether to include the functions for int4 matrices.
    """
    folder = FIRMWARE / "engine" / "kernels"
    shared = {} if kernels.base is None else _folder(folder / kernels.base)
    files = _folder(folder / GENERIC.name) | shared | _folder(folder / kernels.name)
    return {name: text for name, text in files.items() if int4 or not name.endswith("_int4.c")}


def hash_of(content: bytes) -> str:
    """The SHA-256 in hexadecimal, as in a manifest."""
    return hashlib.sha256(content).hexdigest()


def _c_bytes(data: bytes) -> str:
    return ",".join(f"0x{byte:02x}" for byte in data)


def _folder(folder: Path) -> dict[str, str]:
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def package_version() -> str:
    """The version of this package, as in the emitted files."""
    return importlib.metadata.version("tinyllm")
