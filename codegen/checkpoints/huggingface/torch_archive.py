"""Reads pytorch_model.bin, the archive that torch.save has written since PyTorch 1.6.

It is a zip file without compression: NAME/data.pkl describes the tensors, NAME/data/KEY are their storages. Only the
directory, the pickle and the requested tensors are read, each at the place that the directory gives.
"""

from __future__ import annotations

import io
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tinyllm.codegen.checkpoints.huggingface.tensors import ITEM_SIZES, StoredTensor, row_major
from tinyllm.codegen.checkpoints.huggingface.torch_pickle import PickleError, View, tensors_in_pickle
from tinyllm.errors import UserError
from tinyllm.files import file_size

PICKLE_LIMIT = 2 << 20
DIRECTORY_LIMIT = 4 << 20
LOCAL_HEADER_SIZE = 30
ENCRYPTED = 1


@dataclass(frozen=True)
class Span:
    """Where an entry's bytes lie in the file: offset and size in bytes."""

    offset: int
    size: int


def read_torch_archive(path: Path) -> dict[str, StoredTensor]:
    """Every tensor of the file by its name.

    Raises UserError for a file of another format, for a pickle that holds more than tensors, for a tensor that reaches
    beyond its storage, and for tensors that share storages and together take more than twice the file's size.
    """
    size = file_size(path)
    spans = _directory(path, size)
    pickles = [name for name in spans if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1:
        raise _damaged(path, f"it has {len(pickles)} entries data.pkl, expected one")
    prefix = pickles[0].removesuffix("data.pkl")
    order = _read(path, spans.get(f"{prefix}byteorder", Span(0, 0)), 16)
    if order not in (b"", b"little"):
        raise UserError(f"{path}: its byte order is {order!r}, expected little; save it as safetensors")
    try:
        views = tensors_in_pickle(_read(path, spans[pickles[0]], PICKLE_LIMIT))
    except PickleError as error:
        raise UserError(f"{path}: {error}; save the weights alone, as safetensors") from error

    tensors = {}
    for name, view in views.items():
        span = spans.get(f"{prefix}data/{view.storage.key}")
        if span is None or span.size < view.storage.n_values * ITEM_SIZES[view.storage.dtype]:
            raise _damaged(path, f"tensor {name[:80]!r} has no storage of {view.storage.n_values:,} values")
        tensors[name] = _stored(path, name, view, span)
    total = sum(tensor.n_bytes for tensor in tensors.values())
    if total > 2 * size:
        raise _damaged(path, f"its tensors take {total:,} bytes, the file has {size:,}")
    return tensors


def _stored(path: Path, name: str, view: View, span: Span) -> StoredTensor:
    dtype = view.storage.dtype
    strides = None if view.strides == row_major(view.shape) else view.strides
    tensor = StoredTensor(path, name, dtype, view.shape, span.offset + view.offset * ITEM_SIZES[dtype], strides)
    if tensor.n_values > view.storage.n_values or view.offset + tensor.span() > view.storage.n_values:
        raise _damaged(path, f"tensor {name[:80]!r} reaches beyond its storage of {view.storage.n_values:,} values")
    return tensor


class _BoundedReads(io.FileIO):
    """A file that never returns more than DIRECTORY_LIMIT bytes at once, whatever sizes a zip file claims.

    A larger read raises ValueError.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= DIRECTORY_LIMIT:
            size = DIRECTORY_LIMIT + 1
        data = super().read(size) or b""
        if len(data) > DIRECTORY_LIMIT:
            raise ValueError(f"its directory is larger than {DIRECTORY_LIMIT:,} bytes")
        return data


def _directory(path: Path, size: int) -> dict[str, Span]:
    """Where each entry of the zip file lies. Raises UserError unless all lie within the file and are not compressed."""
    with _BoundedReads(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
        except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError, struct.error, OverflowError) as error:
            raise UserError(
                f"{path} is not a zip archive of torch.save ({str(error)[:100]});"
                " save the weights as safetensors, or with PyTorch 1.6 or newer"
            ) from error
        spans: dict[str, Span] = {}
        for entry in entries:
            name = entry.filename
            if name in spans:
                raise _damaged(path, f"its entry {name[:80]!r} stands there twice")
            if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & ENCRYPTED:
                raise _damaged(path, f"its entry {name[:80]!r} is compressed or encrypted, expected neither")
            header = b""
            if 0 <= entry.header_offset <= size - LOCAL_HEADER_SIZE:
                file.seek(entry.header_offset)
                header = file.read(LOCAL_HEADER_SIZE)
            if header[:4] != b"PK\x03\x04":
                raise _damaged(path, f"its entry {name[:80]!r} is not where the directory says")
            name_size, extra_size = struct.unpack_from("<HH", header, 26)
            offset = entry.header_offset + LOCAL_HEADER_SIZE + name_size + extra_size
            if offset + entry.file_size > size:
                raise _damaged(path, f"its entry {name[:80]!r} reaches beyond the end of the file")
            spans[name] = Span(offset, entry.file_size)
    return spans


def _read(path: Path, span: Span, limit: int) -> bytes:
    if span.size > limit:
        raise _damaged(path, f"its description has {span.size:,} bytes, expected at most {limit:,}")
    with path.open("rb") as file:
        file.seek(span.offset)
        return file.read(span.size)


def _damaged(path: Path, what: str) -> UserError:
    return UserError(f"{path}: {what}; the file is damaged: download or export it again")
