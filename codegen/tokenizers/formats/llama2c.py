"""Reads llama2.c's tok*.bin, in the three forms that tokenizer.py of github.com/karpathy/llama2.c has written.

All numbers are little-endian. The file begins with a uint32, the length of the longest piece. Then it has for each
token id a float32 score, an int32 length and that many bytes. The ids 0, 1, 2 are <unk>, "\\n<s>\\n" (BOS) and
"\\n</s>\\n" (EOS). A piece "<0xNN>" is a byte. SentencePiece's space mark is already a space.

Until August 2023 a byte was written as the character with its number, so that 0x41 looks like the letter A: the ids 3
to 258 are then the characters 0 to 255 in order. From 24 to 28 July 2023 the file had neither the first length nor the
scores, and was written only for Llama 2's vocabulary. Its scores fall by 1 from id to id, in the order of the merges in
training. But pieces that are only spaces all have the same, far lower score.

The file has none of SentencePiece's flags. llama2.c's runner always adds the dummy prefix. The vocabulary itself shows
whether runs of spaces were folded in training. If they were, no piece has two spaces in a row (llama2.c's own tok512
and similar ones). Llama 2's vocabulary was trained without folding and has several such pieces.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tinyllm.codegen.tokenizers.formats.vocabulary import FILE_LIMIT, MAX_VOCABULARY, Entry, build_tokenizer, byte_value
from tinyllm.codegen.tokenizers.tokenizer import PieceKind, Tokenizer
from tinyllm.errors import UserError
from tinyllm.files import read_bytes

UNKNOWN, BOS, EOS = 0, 1, 2
RESERVED = {UNKNOWN: (b"<unk>",), BOS: (b"\n<s>\n", b"<s>"), EOS: (b"\n</s>\n", b"</s>")}
MAX_PIECE_LENGTH = 1 << 10
FIRST_WITHOUT_HEADER = b"\x05\0\0\0<unk>"
ONLY_SPACES = -1e9
BYTES = slice(3, 259)
BYTES_AS_CHARACTERS = [chr(byte).encode() for byte in range(256)]


def is_llama2c_tokenizer(start: bytes) -> bool:
    """Whether a file that begins with `start` (at least 12 bytes) has a plausible header and first piece."""
    return _has_header(start) or start.startswith(FIRST_WITHOUT_HEADER)


def read_llama2c_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer at `path`. Raises UserError for a file that is missing, truncated or contradictory."""
    data = read_bytes(path, FILE_LIMIT)
    has_header = _has_header(data)
    entries = list(_entries(path, data, has_header))
    for token, texts in RESERVED.items():
        found = entries[token].text if token < len(entries) else b""
        if found not in texts:
            raise UserError(
                f"{path}: piece {token} is {found[:20]!r}, expected {texts[0]!r};"
                " export the tokenizer again with llama2.c's tokenizer.py"
            )
    for token in (BOS, EOS):
        entries[token] = replace(entries[token], text=entries[token].text.strip(b"\n"))
    if [entry.text for entry in entries[BYTES]] == BYTES_AS_CHARACTERS:
        entries[BYTES] = [Entry(b"<0x%02X>" % byte, 0.0, PieceKind.BYTE) for byte in range(256)]
    return build_tokenizer(
        path,
        entries,
        bos=BOS,
        eos=EOS,
        add_dummy_prefix=True,
        remove_extra_whitespaces=not any(b"  " in entry.text for entry in entries),
        source="llama2.c tok.bin" if has_header else "llama2.c tokenizer.bin of July 2023",
    )


def _has_header(start: bytes) -> bool:
    if len(start) < 12:
        return False
    longest, _, length = struct.unpack_from("<IfI", start)
    return bool(0 < length <= longest <= MAX_PIECE_LENGTH)


def _entries(path: Path, data: bytes, has_header: bool) -> Iterator[Entry]:
    """The entries in the order of their ids."""
    longest = min(struct.unpack_from("<I", data)[0], MAX_PIECE_LENGTH) if has_header else MAX_PIECE_LENGTH
    field = struct.Struct("<fi" if has_header else "<i")
    offset = 4 if has_header else 0
    token = 0
    while offset < len(data):
        if token == MAX_VOCABULARY:
            raise UserError(f"{path} holds more than {MAX_VOCABULARY:,} pieces; it is no tokenizer")
        if len(data) - offset < field.size:
            raise UserError(f"{path} is truncated in the header of piece {token}; download or export it again")
        *score, length = field.unpack_from(data, offset)
        offset += field.size
        if not 0 < length <= longest:
            raise UserError(
                f"{path}: piece {token} has length {length}, expected 1 to {longest}; download or export it again"
            )
        text = data[offset : offset + length]
        if len(text) < length:
            raise UserError(f"{path} is truncated in piece {token}; download or export it again")
        offset += length
        yield Entry(text, score[0] if score else _score(token, text), _kind(token, text))
        token += 1


def _score(token: int, text: bytes) -> float:
    """The score of a piece in Llama 2's sentencepiece model."""
    if token < BYTES.stop:
        return 0.0
    return float(BYTES.stop - token) if text.strip(b" ") else ONLY_SPACES


def _kind(token: int, text: bytes) -> PieceKind:
    if token == UNKNOWN:
        return PieceKind.UNKNOWN
    if token in (BOS, EOS):
        return PieceKind.CONTROL
    return PieceKind.NORMAL if byte_value(text) is None else PieceKind.BYTE
