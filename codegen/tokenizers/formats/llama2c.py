"""llama2.c's tok*.bin, as tokenizer.py of github.com/karpathy/llama2.c writes it.

Little-endian: uint32 length of the longest piece; then for each token id up to the end of the file a float32 score,
an int32 length and that many bytes. The ids 0, 1, 2 are <unk>, "\\n<s>\\n" (BOS) and "\\n</s>\\n" (EOS); a piece
"<0xNN>" is a byte; SentencePiece's space mark is already a space.

The file carries none of SentencePiece's flags. Its runner always adds the dummy prefix. Whether the vocabulary was
trained on text with runs of spaces folded shows in the vocabulary itself: a piece with two spaces in a row can then
never have arisen (llama2.c's own tok512 and its kin), while Llama 2's, trained without folding, has several.
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


def is_llama2c_tokenizer(start: bytes) -> bool:
    """Whether a file that starts so (at least 12 bytes) has a believable header and first piece."""
    if len(start) < 12:
        return False
    longest, _, length = struct.unpack_from("<IfI", start)
    return bool(0 < length <= longest <= MAX_PIECE_LENGTH)


def read_llama2c_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer at `path`. Raises UserError for a file that is missing, truncated or contradicts itself."""
    entries = list(_entries(path, read_bytes(path, FILE_LIMIT)))
    for token, texts in RESERVED.items():
        found = entries[token].text if token < len(entries) else b""
        if found not in texts:
            raise UserError(
                f"{path}: piece {token} is {found[:20]!r}, expected {texts[0]!r};"
                " export the tokenizer again with llama2.c's tokenizer.py"
            )
    for token in (BOS, EOS):
        entries[token] = replace(entries[token], text=entries[token].text.strip(b"\n"))
    return build_tokenizer(
        path,
        entries,
        bos=BOS,
        eos=EOS,
        add_dummy_prefix=True,
        remove_extra_whitespaces=not any(b"  " in entry.text for entry in entries),
        source="llama2.c tok.bin",
    )


def _entries(path: Path, data: bytes) -> Iterator[Entry]:
    if len(data) < 4:
        raise UserError(f"{path} is truncated: {len(data)} bytes, expected a llama2.c tokenizer; export it again")
    (longest,) = struct.unpack_from("<I", data)
    offset = 4
    token = 0
    while offset < len(data):
        if token == MAX_VOCABULARY:
            raise UserError(f"{path} holds more than {MAX_VOCABULARY:,} pieces; it is no tokenizer")
        if len(data) - offset < 8:
            raise UserError(f"{path} is truncated in the header of piece {token}; download or export it again")
        score, length = struct.unpack_from("<fi", data, offset)
        offset += 8
        if not 0 < length <= min(longest, MAX_PIECE_LENGTH):
            raise UserError(
                f"{path}: piece {token} has length {length}, expected 1 to {min(longest, MAX_PIECE_LENGTH)};"
                " download or export it again"
            )
        text = data[offset : offset + length]
        if len(text) < length:
            raise UserError(f"{path} is truncated in piece {token}; download or export it again")
        offset += length
        yield Entry(text, score, _kind(token, text))
        token += 1


def _kind(token: int, text: bytes) -> PieceKind:
    if token == UNKNOWN:
        return PieceKind.UNKNOWN
    if token in (BOS, EOS):
        return PieceKind.CONTROL
    return PieceKind.NORMAL if byte_value(text) is None else PieceKind.BYTE
