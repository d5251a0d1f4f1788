"""weights.bin: the weights as an image of their own, which lies in flash beside the program (docs/weights-image.md).

    header      HEADER_BYTES long, the FIELDS in order, little-endian
    payload     the tables in the order of weights.c, each padded with zeros to whole vectors
    END         its last bytes: an image that was cut off lacks them

The program holds the order and the sizes of the tables, so it uses no number of an image that it has not checked.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from itertools import accumulate

from tinyllm.codegen.arithmetic.integer_model import IntegerModel
from tinyllm.codegen.kernels.kernel_set import KernelSet, padded
from tinyllm.text import LONGEST_NAME, harmless_name

MAGIC = b"tinyllmW"
FORMAT = 1
END = b"tinyllm weights\0"
HASH_BYTES = 8

CONFIG = (
    *("dim", "hidden_dim", "n_heads", "n_kv_heads", "head_dim", "vocab_size", "context", "schedule", "slots"),
    *("full_slots", "sinks", "chat_template", "system", "key_bits", "value_bits"),
)
"""The fields of ModelConfig that a program depends on."""

FIELDS = {
    "magic": len(MAGIC),
    "format": 4,
    "payload_bytes": 4,
    "payload_crc": 4,
    "tables": 4,
    "layout": HASH_BYTES,
    "model_hash": HASH_BYTES,
    "kernel_set": 16,
    "name": LONGEST_NAME,
    "reserved": 4,
    "header_crc": 4,
}
"""Bytes of each field, in order. header_crc is over the fields before it. Texts are padded with zeros."""
OFFSETS = dict(zip(FIELDS, accumulate(FIELDS.values(), initial=0), strict=False))
HEADER_BYTES = sum(FIELDS.values())
assert padded(HEADER_BYTES) == HEADER_BYTES, "the payload starts at a multiple of 16 bytes"


def table_bytes(size: int) -> int:
    """Bytes that a table of `size` bytes takes in the payload."""
    return padded(size)


def image_bytes(sizes: Sequence[int]) -> int:
    """Bytes of a whole image with tables of these sizes."""
    return HEADER_BYTES + sum(map(table_bytes, sizes)) + len(END)


def layout_hash(
    model: IntegerModel, kernels: KernelSet, tables: Sequence[tuple[str, int]], program: Mapping[str, str]
) -> bytes:
    """The hash that image and program must agree in: HASH_BYTES of a SHA-256 over dimensions, tables and tokenizer.

    tables: name and bytes of each. program: file name -> text of the vocabulary's files, which stay in the program.
    """
    config = model.config
    facts = {
        "format": FORMAT,
        "kernels": kernels.name,
        "tables": [[name, size] for name, size in tables],
        "config": {name: getattr(config, name) for name in CONFIG},
        "constants": [model.score_mantissa, model.score_exponent, model.epsilon, model.rope_steps.tolist()],
        "head": model.head is None,
        "program": {name: hashlib.sha256(text.encode()).hexdigest() for name, text in program.items()},
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).digest()[:HASH_BYTES]


def write_image(model: IntegerModel, kernels: KernelSet, tables: Sequence[bytes], layout: bytes) -> bytes:
    """The bytes of the image. tables: the bytes of each, as they lie in memory. layout: from layout_hash."""
    payload = b"".join(table.ljust(table_bytes(len(table)), b"\0") for table in tables)
    values = {
        "magic": MAGIC,
        "format": _u32(FORMAT),
        "payload_bytes": _u32(len(payload)),
        "payload_crc": _u32(zlib.crc32(payload)),
        "tables": _u32(len(tables)),
        "layout": layout,
        "model_hash": model.digest()[:HASH_BYTES],
        "kernel_set": kernels.name.encode(),
        "name": harmless_name(model.config.name).encode(),
        "reserved": b"",
    }
    header = b"".join(values[name].ljust(FIELDS[name], b"\0") for name in values)
    return header + _u32(zlib.crc32(header)) + payload + END


def _u32(value: int) -> bytes:
    return value.to_bytes(4, "little")
