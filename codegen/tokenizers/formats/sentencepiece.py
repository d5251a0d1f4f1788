"""Reads SentencePiece .model files of type BPE or unigram from their protocol buffer.

The encoding depends on the model type and on the normaliser's flags, which the `sentencepiece` package does not tell.
So the necessary fields are read here. Wire format: protobuf.dev/programming-guides/encoding. Field numbers and
defaults: src/sentencepiece_model.proto of github.com/google/sentencepiece.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tinyllm.codegen.tokenizers.formats.character_map import check_character_map
from tinyllm.codegen.tokenizers.formats.special_tokens import follow_settings, read_settings
from tinyllm.codegen.tokenizers.formats.vocabulary import FILE_LIMIT, MAX_VOCABULARY, Entry, build_tokenizer
from tinyllm.codegen.tokenizers.tokenizer import Algorithm, PieceKind, Tokenizer
from tinyllm.errors import UserError
from tinyllm.files import read_bytes

Value = int | bytes

MAX_FIELDS = MAX_VOCABULARY
"""The most fields of one message; each piece is a field of the model's message."""

# ModelProto
PIECES, TRAINER_SPEC, NORMALIZER_SPEC, DENORMALIZER_SPEC = 1, 2, 3, 5
# ModelProto.SentencePiece
TEXT, SCORE, TYPE = 1, 2, 3
# TrainerSpec
MODEL_TYPE, SPACE_AS_SUFFIX, BYTE_FALLBACK, BOS_PIECE, EOS_PIECE = 3, 24, 35, 46, 47
# NormalizerSpec
CHARACTER_MAP, ADD_DUMMY_PREFIX, REMOVE_EXTRA_WHITESPACES, ESCAPE_WHITESPACES = 2, 3, 4, 5

MODEL_TYPES = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}
ALGORITHMS = {1: Algorithm.UNIGRAM, 2: Algorithm.PIECES}
KINDS = {
    1: PieceKind.NORMAL,
    2: PieceKind.UNKNOWN,
    3: PieceKind.CONTROL,
    4: PieceKind.USER_DEFINED,
    6: PieceKind.BYTE,
}
VARINT, FIXED64, LENGTH_DELIMITED, FIXED32 = 0, 1, 2, 5


def is_sentencepiece_model(start: bytes) -> bool:
    """Whether `start` begins like a ModelProto: with a piece whose first field is its text."""
    return len(start) >= 3 and start[0] == start[2] == TEXT << 3 | LENGTH_DELIMITED


def read_sentencepiece(path: Path) -> Tokenizer:
    """The tokenizer at `path`, with the special tokens that the files beside it name.

    Raises UserError for a damaged file and for features that the encoder lacks: a model type other than BPE and
    unigram, unused pieces, a denormaliser, spaces that are not escaped or are suffixes.
    """
    try:
        model = list(_fields(read_bytes(path, FILE_LIMIT)))
        last = dict(model)
        if TRAINER_SPEC not in last or NORMALIZER_SPEC not in last:
            raise ValueError("its trainer_spec or normalizer_spec is missing: it may have been cut off")
        trainer, normalizer, denormalizer = (
            dict(_fields(_bytes(last, number, b""))) for number in (TRAINER_SPEC, NORMALIZER_SPEC, DENORMALIZER_SPEC)
        )
        _refuse_unsupported(path, trainer, normalizer, denormalizer)
        entries = [_entry(value) for number, value in model if number == PIECES]
        entries, unreachable_symbols = _without_plain_spaces(entries)
        controls = {entry.text: token for token, entry in enumerate(entries) if entry.kind is PieceKind.CONTROL}
        bos_text, eos_text = _bytes(trainer, BOS_PIECE, b"<s>"), _bytes(trainer, EOS_PIECE, b"</s>")
        if _flag(trainer, BYTE_FALLBACK, False) != any(entry.kind is PieceKind.BYTE for entry in entries):
            raise ValueError("byte_fallback and the byte pieces contradict each other")
        tokenizer = build_tokenizer(
            path,
            entries,
            bos=controls.get(bos_text),
            eos=controls.get(eos_text),
            add_dummy_prefix=_flag(normalizer, ADD_DUMMY_PREFIX, True),
            remove_extra_whitespaces=_flag(normalizer, REMOVE_EXTRA_WHITESPACES, True),
            source="sentencepiece",
            algorithm=ALGORITHMS[_integer(trainer, MODEL_TYPE, 1)],
            character_map=check_character_map(_bytes(normalizer, CHARACTER_MAP, b"")),
            unreachable_symbols=unreachable_symbols,
        )
    except ValueError as error:
        raise UserError(f"{path} is not a sound sentencepiece model ({error}); download or export it again") from error
    return follow_settings(tokenizer, read_settings(path.parent))


def _refuse_unsupported(
    path: Path, trainer: dict[int, Value], normalizer: dict[int, Value], denormalizer: dict[int, Value]
) -> None:
    def refuse(found: str, expected: str) -> UserError:
        return UserError(f"{path}: {found} cannot be read, only {expected}; train or choose another tokenizer")

    model_type = _integer(trainer, MODEL_TYPE, 1)
    if model_type not in ALGORITHMS:
        raise refuse(f"a sentencepiece model of type {MODEL_TYPES.get(model_type, model_type)}", "bpe and unigram")
    if _bytes(denormalizer, CHARACTER_MAP, b""):
        raise refuse("a denormalizer", "none")
    if not _flag(normalizer, ESCAPE_WHITESPACES, True):
        raise refuse("escape_whitespaces=false", "true")
    if _flag(trainer, SPACE_AS_SUFFIX, False):
        raise refuse("treat_whitespace_as_suffix=true", "false")


def _entry(message: Value) -> Entry:
    if isinstance(message, int):
        raise ValueError("a piece is not a message")
    fields = dict(_fields(message))
    kind = _integer(fields, TYPE, 1)
    if kind not in KINDS:
        raise ValueError(f"a piece of type {kind}, expected one of {sorted(KINDS)}")
    score = _bytes(fields, SCORE, bytes(4))
    if len(score) != 4:
        raise ValueError("a score is not a 32-bit float")
    text = _bytes(fields, TEXT, b"")
    if b" " in text and KINDS[kind] is PieceKind.NORMAL:
        raise ValueError(f"piece {text[:20]!r} holds a plain space, expected the mark U+2581 in its place")
    return Entry(text, struct.unpack("<f", score)[0], KINDS[kind])


def _without_plain_spaces(entries: Sequence[Entry]) -> tuple[list[Entry], tuple[bytes, ...]]:
    """The entries, and the user-defined symbols with plain spaces, whose entries become UNREACHABLE.

    The trainer keeps the plain spaces of such symbols. A text is matched after its spaces have become marks, so these
    symbols never match.
    """
    symbols = [entry.text for entry in entries if entry.kind is PieceKind.USER_DEFINED and b" " in entry.text]
    unreachable = {*symbols}
    return [
        replace(entry, kind=PieceKind.UNREACHABLE) if entry.text in unreachable else entry for entry in entries
    ], tuple(symbols)


def _fields(message: bytes) -> Iterator[tuple[int, Value]]:
    """The fields of a protobuf message as (field number, value): an int for a varint, raw bytes for any other type.

    Raises ValueError if the message is damaged.
    """
    offset = count = 0

    def varint() -> int:
        nonlocal offset
        value = 0
        for shift in range(0, 64, 7):
            if offset == len(message):
                break
            byte = message[offset]
            offset += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise ValueError(f"no whole number at byte {offset} of a message")

    while offset < len(message):
        count += 1
        if count > MAX_FIELDS:
            raise ValueError(f"a message has more than {MAX_FIELDS:,} fields")
        tag = varint()
        number, wire_type = tag >> 3, tag & 7
        if wire_type == VARINT:
            yield number, varint()
            continue
        if wire_type not in (FIXED64, LENGTH_DELIMITED, FIXED32):
            raise ValueError(f"wire type {wire_type} at byte {offset} of a message")
        length = {FIXED64: 8, FIXED32: 4}.get(wire_type) or varint()
        value = message[offset : offset + length]
        if len(value) < length:
            raise ValueError(f"field {number} is cut off at byte {offset} of a message")
        offset += length
        yield number, value


def _integer(fields: dict[int, Value], number: int, default: int) -> int:
    value = fields.get(number, default)
    if isinstance(value, bytes):
        raise ValueError(f"field {number} is not a number")
    return value


def _flag(fields: dict[int, Value], number: int, default: bool) -> bool:
    return bool(_integer(fields, number, default))


def _bytes(fields: dict[int, Value], number: int, default: bytes) -> bytes:
    value = fields.get(number, default)
    if isinstance(value, int):
        raise ValueError(f"field {number} is not a string")
    return value
