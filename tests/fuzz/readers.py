"""What reads files and bytes of strangers, and what counts as wrong when it does.

A reader gives a sound result or raises UserError in words. Anything else is a fault: another exception, a message that
is long or does not name the file, a result that cannot be used, a process started, a file written or removed, a
connection, code carried out, and more time or memory than a run allows.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tests.unit.checkpoint_files import huggingface_tensors, random_model, write_huggingface
from tests.unit.huggingface_files import HALF, archive, torch_entries, write_shards, write_torch
from tests.unit.tokenizer_files import marked, prepend_and_replace, write_tokenizer
from tinyllm.boards.board import Board
from tinyllm.boards.description import read_board
from tinyllm.codegen.actions.automaton import automaton_of
from tinyllm.codegen.actions.catalogue import Catalogue, read_catalogue
from tinyllm.codegen.arithmetic.float_model import Model
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.checkpoints import inspect_checkpoint, read_model
from tinyllm.codegen.tokenizers import Tokenizer, read_tokenizer
from tinyllm.codegen.tokenizers.encode.encoder import decode_piece, encode
from tinyllm.codegen.tokenizers.formats.tiktoken import read_tiktoken
from tinyllm.codegen.tokenizers.tables import lay_out
from tinyllm.errors import CheckpointWarning, UserError
from tinyllm.host.link import messages as protocol
from tinyllm.host.link.frames import FrameReader, Stray, encode_frame

SOUND = Path(__file__).with_name("sound")
CORPUS = Path(__file__).with_name("corpus")
"""Files by reader: those that are taken, and those that are refused."""

LONGEST_MESSAGE = 500
"""Characters of a message beside its path; it has at most two lines."""
TEXT = "the dog's 1234 <s>\n  猫e\u0301 <|endoftext|>\xff"
CONTEXT = 16


class Fault(AssertionError):
    """A reader did what it must not do."""


@dataclass(frozen=True)
class Reader:
    """One reader and the place of its file.

    file: the name of the hostile file in its folder. read: reads it, and what belongs to it, from that path.
    prepare: writes what stands beside it in the folder, if something does. writes: `read` writes files of its own.
    """

    file: str
    read: Callable[[Path], object]
    prepare: Callable[[Path], object] | None = None
    writes: bool = False


def _model_folder(folder: Path) -> None:
    write_huggingface(folder, random_model(HALF))


def _torch_folder(folder: Path) -> None:
    write_torch(folder, _entries())


@cache
def _entries() -> dict[str, bytes]:
    return torch_entries(huggingface_tensors(random_model(HALF)))


def _archive_folder(folder: Path) -> None:
    """What stays the same around every pickle."""
    write_torch(folder / "archive", _entries())


def _tokenizer_folder(folder: Path) -> None:
    """Without a piece for each byte: most of a run would go into reading it."""
    write_tokenizer(folder, marked(prepend_and_replace(), None, fallback=False))


def _read_checkpoint(path: Path) -> Model:
    """A checkpoint of one file, inspected too."""
    return _inspected(path)


def _read_folder(path: Path) -> Model:
    """The folder of a file, inspected too."""
    return _inspected(path.parent)


def _inspected(path: Path) -> Model:
    facts = inspect_checkpoint(path)
    model = read_model(path)
    if facts.config != model.config:
        raise Fault("inspecting a checkpoint tells another model than reading it")
    return model


def _read_pickle(path: Path) -> Model:
    """A pickle within an archive that is sound otherwise, whose checksum is right."""
    folder = path.parent / "archive"
    (folder / "pytorch_model.bin").write_bytes(archive(_entries() | {"data.pkl": path.read_bytes()}))
    return read_model(folder)


def _read_beside_tokenizer(path: Path) -> Tokenizer:
    return read_tokenizer(path.with_name("tokenizer.json"))


def read_replies(path: Path) -> list[protocol.Reply]:
    """The bytes that a board sends: frames, in whatever pieces they come, and their messages."""
    data, read = path.read_bytes(), FrameReader()
    items = list(read.feed(data))
    pieces = FrameReader()
    in_pieces = [item for at in range(0, len(data), 7) for item in pieces.feed(data[at : at + 7])]
    if items != in_pieces or read.pending != pieces.pending:
        raise Fault("a stream in pieces is read in another way")
    replies = []
    for item in items:
        if isinstance(item, Stray):
            continue
        if next(FrameReader().feed(encode_frame(item)[1:])) != item:
            raise Fault("a frame is not what it is when it is written again")
        try:
            reply = protocol.parse_reply(item)
        except protocol.MalformedBody as error:
            if len(str(error)) > LONGEST_MESSAGE:
                raise Fault("a message is too long") from None
            continue
        if not isinstance(reply, protocol.CallResult) and reply.body() != item.body:
            raise Fault("a reply is not what it is when it is written again")
        replies.append(reply)
    return replies


READERS: dict[str, Reader] = {
    "actions": Reader("actions.toml", read_catalogue),
    "board": Reader("hostile.toml", read_board),
    "gguf": Reader("model.gguf", _read_checkpoint),
    "gguf_tokenizer": Reader("model.gguf", read_tokenizer),
    "huggingface_config": Reader("config.json", _read_folder, _model_folder),
    "huggingface_index": Reader(
        "model.safetensors.index.json", _read_folder, lambda folder: write_shards(folder, random_model(HALF), 2)
    ),
    "llama2c": Reader("model.bin", _read_checkpoint),
    "llama2c_tokenizer": Reader("tok.bin", read_tokenizer),
    "replies": Reader("replies.bin", read_replies),
    "safetensors": Reader("model.safetensors", _read_folder, _model_folder),
    "sentencepiece": Reader("tokenizer.model", read_tokenizer),
    "tiktoken": Reader("cl100k_base.tiktoken", read_tiktoken),
    "tokenizer_config": Reader("tokenizer_config.json", _read_beside_tokenizer, _tokenizer_folder),
    "tokenizer_json": Reader("tokenizer.json", read_tokenizer),
    "torch": Reader("pytorch_model.bin", _read_folder, _torch_folder),
    "torch_pickle": Reader("data.pkl", _read_pickle, _archive_folder, writes=True),
}
"""By the name of their folder in corpus/ and sound/."""


def sound_files(name: str) -> list[Path]:
    """The files that a reader takes, sorted."""
    return sorted((SOUND / name).iterdir())


# --- What counts as wrong ---------------------------------------------------------------------------------------------


def check_refusal(error: UserError, folder: Path) -> None:
    """Raise Fault if a message is not fit to be shown: it names the file, in two lines at most."""
    message = str(error)
    if str(folder) not in message:
        raise Fault(f"a message does not name the file: {message[:LONGEST_MESSAGE]}")
    if len(message.splitlines()) > 2 or len(message) > message.count(str(folder)) * len(str(folder)) + LONGEST_MESSAGE:
        raise Fault(f"a message of {len(message)} characters: {message[:LONGEST_MESSAGE]}")
    message.encode()


def check_result(result: object) -> None:
    """Raise Fault, or whatever its use raises but UserError, if what was read is not sound."""
    try:
        if isinstance(result, Model):
            _check_model(result)
        elif isinstance(result, Tokenizer):
            _check_tokenizer(result)
        elif isinstance(result, Catalogue):
            automaton_of(result)
        elif not isinstance(result, Board | list):
            raise Fault(f"a reader gave {type(result).__name__}")
    except UserError:
        pass  # A board has limits of its own.


def _check_model(model: Model) -> None:
    config = model.config
    shapes = {
        "wq": (config.q_dim, config.dim),
        "wk": (config.kv_dim, config.dim),
        "wv": (config.kv_dim, config.dim),
        "wo": (config.dim, config.q_dim),
        "w_gate": (config.hidden_dim, config.dim),
        "w_down": (config.dim, config.hidden_dim),
    }
    tensors = [(model.embedding, (config.vocab_size, config.dim)), (model.final_norm, (config.dim,))]
    tensors += [(getattr(block, name), shape) for block in model.blocks for name, shape in shapes.items()]
    for tensor, shape in tensors:
        if tensor.shape != shape or tensor.dtype != np.float32 or not np.isfinite(tensor).all():
            raise Fault("a tensor was taken that is of another shape, or not of numbers")
    if max(config.schedule) >= len(model.blocks):
        raise Fault("a block is named that is not there")
    quantize(model, min(config.context, CONTEXT))


def _check_tokenizer(tokenizer: Tokenizer) -> None:
    ids = encode(tokenizer, TEXT, bos=True, special=True)
    if not all(0 <= token < tokenizer.vocab_size for token in ids):
        raise Fault("a text has tokens that are not in the vocabulary")
    b"".join(decode_piece(tokenizer, token) for token in ids)
    lay_out(tokenizer)


# --- Nothing of a file is carried out ---------------------------------------------------------------------------------

CARRIES_OUT = (
    *("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "pty.spawn"),
    *("socket.connect", "socket.bind", "socket.getaddrinfo", "urllib.Request", "ctypes.dlopen", "ctypes.dlsym"),
    *(
        "os.remove",
        "os.rename",
        "os.rmdir",
        "os.mkdir",
        "os.link",
        "os.symlink",
        "os.truncate",
        "os.chmod",
        "os.putenv",
    ),
    *("shutil.rmtree", "shutil.move", "pickle.find_class", "marshal.loads", "code.__new__", "exec", "compile"),
)
"""Audit events (docs.python.org/3/library/audit_events.html) that no reader raises."""


OF_IMPORTS = ("marshal.loads", "code.__new__", "exec", "compile")
"""Raised by the import of a module of ours too, which may come late."""


def _is_importing() -> bool:
    frame = sys._getframe(2)
    while frame is not None and frame.f_code.co_filename != "<frozen importlib._bootstrap>":
        frame = frame.f_back  # type: ignore[assignment]
    return frame is not None


class Watch:
    """Remembers what a reader does that it must not do; there is one for a process, as an audit hook stays for ever."""

    def __init__(self) -> None:
        self.on = False
        self.seen: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event in CARRIES_OUT and not (event in OF_IMPORTS and _is_importing()):
            self.seen.append(f"{event} {arguments!r:.100}")
        elif event == "open":
            path, mode, flags = arguments
            by_mode = isinstance(mode, str) and set(mode) & set("wax+")
            if by_mode or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                self.seen.append(f"open {path!r:.100} to write")


@cache
def watch() -> Watch:
    """The one of this process."""
    return Watch()


class Bench:
    """A folder in which a reader reads one hostile file after the other."""

    def __init__(self, name: str, folder: Path) -> None:
        self.reader, self.folder = READERS[name], folder / name
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.reader.prepare is not None:
            self.reader.prepare(self.folder)
        self.path = self.folder / self.reader.file
        self.watch = watch()
        for sound in sound_files(name):  # What is imported late is imported now.
            self.path.write_bytes(sound.read_bytes())
            self.reader.read(self.path)

    def read(self, data: bytes) -> bool:
        """Read the file with this content: True if it was taken, False if refused in words. Raises Fault, and whatever
        else a reader raises that it must not.
        """
        self.path.write_bytes(data)
        self.watch.seen.clear()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", CheckpointWarning)
                self.watch.on = not self.reader.writes
                try:
                    result = self.reader.read(self.path)
                finally:
                    self.watch.on = False
                check_result(result)
        except UserError as error:
            check_refusal(error, self.folder)
            return False
        finally:
            if self.watch.seen:
                raise Fault(f"a reader did {self.watch.seen[0]}")
        return True
