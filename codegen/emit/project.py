"""IntegerModel + tokenizer + board -> a self-contained PlatformIO project that a maker can open, read and keep.

    platformio.ini
    platform/            our development platform, if the board needs it
    src/                 model.h, model.c, weights.*, vocabulary.*, chat_template.*, tables.*, settings_table.*
    src/engine, console, port    the firmware, as it lies in this package

The same model, board and options give the same bytes.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
from pathlib import Path, PureWindowsPath

from tinyllm.boards.description import FIRMWARE, Board
from tinyllm.codegen.arithmetic import fixedpoint as fp
from tinyllm.codegen.arithmetic.integer_model import MAX_K_SHIFT, N_SINKS, IntegerModel
from tinyllm.codegen.arithmetic.sampler_settings import SETTINGS
from tinyllm.codegen.emit.chat_template import chat_files
from tinyllm.codegen.emit.render import render, rows
from tinyllm.codegen.emit.vocabulary import vocabulary_files
from tinyllm.codegen.emit.weights import weight_files
from tinyllm.codegen.memory.placement import state_in_psram
from tinyllm.codegen.memory.plan import padded, plan_memory
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer
from tinyllm.errors import UserError
from tinyllm.text import harmless_name

MANIFEST = ".tinyllm.json"
"""What was written, each file with its hash; while a project is being written, the names alone."""
LARGEST_MANIFEST = 2**20

UNBUILT = ",".join(["0x00"] * 8)


def emit_project(model: IntegerModel, tokenizer: Tokenizer, board: Board) -> dict[str, str]:
    """Path within the project -> text of every file, manifest included.

    Raises UserError if model and tokenizer disagree.
    """
    if tokenizer.vocab_size != model.config.vocab_size:
        raise UserError(
            f"{model.config.name} has {model.config.vocab_size} tokens, its tokenizer {tokenizer.vocab_size}; "
            "give the tokenizer that the model was trained with (--tokenizer)."
        )
    in_psram = state_in_psram(model, tokenizer, board)
    files = {f"src/{name}": text for name, text in source_files(model, tokenizer, board.name, in_psram).items()}
    files |= {f"src/{name}": text for name, text in firmware_files(board).items()}
    options = dict(board.platformio)
    # Everything is in src/: no library needs to be searched for.
    options["lib_ldf_mode"] = "off"
    # For our sources alone, and before a framework's folders: a header of theirs may be named like one of ours.
    quoted = " ".join(f"-iquote {folder}" for folder in ("src", "src/engine", "src/console", "src/port"))
    cores = ["-DTL_CORES=2"] if board.cores > 1 else []
    options["build_src_flags"] = " ".join([*filter(None, [options.get("build_src_flags")]), *cores, quoted])
    if options["platform"] == "tinyllm":
        options["platform"] = "symlink://${PROJECT_DIR}/platform"
        files |= {f"platform/{name}": text for name, text in _folder(FIRMWARE / "platform").items()}
    files["platformio.ini"] = render(
        "platformio.ini", name=harmless_name(model.config.name), version=_version(), board=board, options=options
    )
    hashes = {name: _hash(files[name].encode()) for name in sorted(files)}
    build_id = hashlib.sha256(json.dumps(hashes).encode()).digest()
    files["src/model.h"] = files["src/model.h"].replace(UNBUILT, ",".join(f"0x{byte:02x}" for byte in build_id[:8]))
    hashes["src/model.h"] = _hash(files["src/model.h"].encode())
    facts = {
        "model": harmless_name(model.config.name),
        "model_hash": model.digest()[:8].hex(),
        "build_id": build_id[:8].hex(),
        "board": board.name,
        "context": model.config.context,
        "state_in": "PSRAM" if in_psram else "RAM",
        "files": hashes,
    }
    files[MANIFEST] = json.dumps(facts, indent=1) + "\n"
    return files


def source_files(model: IntegerModel, tokenizer: Tokenizer, board_name: str, in_psram: bool = False) -> dict[str, str]:
    """File name -> text of what is written for this model; the build id is still zero. in_psram: where the state is."""
    config = model.config
    plan = plan_memory(model, tokenizer)
    fields = {
        "name": harmless_name(config.name),
        "board": board_name,
        "version": _version(),
        "model": model,
        "config": config,
        "windowed": min(config.slots) < config.context,
        "blocks": model.blocks,
        "plan": plan,
        "in_psram": in_psram,
        "sinks": N_SINKS,
        "rotary_half": len(model.rope_steps),
        "widest_hidden": max(config.hidden_dim, config.dim),
        "widest_codes": padded(max(config.dim, config.q_dim, config.hidden_dim)),
        "state_bytes": plan.state_bytes,
        "model_hash": ",".join(f"0x{byte:02x}" for byte in model.digest()[:8]),
        "build_id": UNBUILT,
        "rope_steps": ", ".join(f"{step}u" for step in model.rope_steps),
        "k_shift": model.k_shift.tolist(),
        "max_k_shift": MAX_K_SHIFT,
        "head_name": "tl_embedding" if model.head is None else "tl_head",
    }
    tables = {"exp2": fp.EXP2_TABLE.tolist(), "sigmoid": fp.SIGMOID_TABLE.tolist(), "sine": fp.SINE_TABLE.tolist()}
    return {
        "model.h": render("model.h", **fields),
        "model.c": render("model.c", **fields),
        "tables.h": render("tables.h", **tables),
        "tables.c": render("tables.c", **tables, rows=lambda values: "\n".join(f"    {row}" for row in rows(values))),
        "settings_table.h": render("settings_table.h", settings=SETTINGS.values()),
        "settings_table.c": render("settings_table.c", settings=SETTINGS.values()),
        **weight_files(model),
        **vocabulary_files(tokenizer),
        **chat_files(config, tokenizer, plan.text_max),
    }


def firmware_files(board: Board) -> dict[str, str]:
    """Path within src/ -> text of the engine, the console and the board's port."""
    files = {f"engine/{name}": text for name, text in _folder(FIRMWARE / "engine").items()}
    files |= {f"console/{name}": text for name, text in _folder(FIRMWARE / "console").items()}
    files["port/port.h"] = (FIRMWARE / "ports/port.h").read_text(encoding="utf-8")
    for port in board.ports:
        files |= {f"port/{name}": text for name, text in _folder(FIRMWARE / "ports" / port).items()}
    return files


def write_project(files: dict[str, str], folder: Path) -> None:
    """Write an emitted project, touching only what changed so that a rebuild is quick.

    What an earlier emission left and this one does not have is removed; other files in the folder stay. Raises
    UserError, and writes nothing, for a folder that holds something else, or a file that was edited since.
    """
    manifest = folder / MANIFEST
    wanted: dict[str, str] = json.loads(files[MANIFEST])["files"]
    try:
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{folder} is a file; give a folder for the project.")
        if folder.is_dir() and any(folder.iterdir()) and not manifest.is_file():
            raise UserError(f"{folder} holds other files; give an empty or new folder for the project.")
        written = _written(manifest) if manifest.is_file() else {}
        there = {name: _hash_of(folder / name) for name in wanted | written}
        _refuse_to_lose_edits(folder, written, there, wanted)
        stale = [name for name in written if name not in wanted and there[name] is not None]
        changed = [name for name in wanted if there[name] != wanted[name]]
        if not stale and not changed and manifest.is_file() and manifest.read_bytes() == files[MANIFEST].encode():
            return
        folder.mkdir(parents=True, exist_ok=True)
        # Of a project that is half old and half new no file is known to be as it was written.
        _replace(manifest, json.dumps({"files": sorted(there)}))
        for name in changed:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            _replace(folder / name, files[name])
        for name in stale:
            (folder / name).unlink()
        _replace(manifest, files[MANIFEST])
    except OSError as error:
        raise UserError(f"{folder}: cannot write the project: {error.strerror or error}.") from None


def _refuse_to_lose_edits(
    folder: Path, written: dict[str, str | None], there: dict[str, str | None], wanted: dict[str, str]
) -> None:
    """UserError if a file is neither as it was written nor as it shall be; one that was removed is no loss."""
    edited = [
        name
        for name, was in written.items()
        if was is not None and there[name] is not None and there[name] not in (was, wanted.get(name))
    ]
    if not edited:
        return
    more = f" and {len(edited) - 1} more" if len(edited) > 1 else ""
    raise UserError(
        f"{folder / edited[0]}{more}: edited since tinyllm wrote the project; writing it again would lose that.\n"
        "Give another folder (-o), or move what was edited away or delete it. `pio run` there builds it as it is."
    )


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(text.encode())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _written(manifest: Path) -> dict[str, str | None]:
    """What an earlier emission wrote: path within the project -> hash, None if the manifest has none.

    Older manifests list the names alone, and so does that of a project that was not finished.
    """
    with manifest.open("rb") as file:
        text = file.read(LARGEST_MANIFEST)
    try:
        found = json.loads(text)["files"]
        names = {str(name): found[name] if isinstance(found, dict) else None for name in found}
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return {name: was if isinstance(was, str) else None for name, was in names.items() if _is_within(name)}


def _is_within(name: str) -> bool:
    """Whether a name stays in the folder that it is joined to, on any system."""
    path = PureWindowsPath(name)
    return not (path.drive or path.root or ".." in path.parts)


def _hash_of(path: Path) -> str | None:
    """Of a file as it is now; None if there is none."""
    return _hash(path.read_bytes()) if path.is_file() else None


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _folder(folder: Path) -> dict[str, str]:
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def _version() -> str:
    return importlib.metadata.version("tinyllm")
