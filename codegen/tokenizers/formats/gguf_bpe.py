"""Reads byte-level BPE from a GGUF file: tokenizer.ggml.model "gpt2", its merges and the name of its pre-tokenizer.

The names are llama.cpp's (src/llama-vocab.cpp of github.com/ggml-org/llama.cpp). Only names that stand for one
published pattern are supported. llama.cpp's "default", for a missing name, is no such pattern.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tinyllm.codegen.checkpoints.gguf.file import Gguf
from tinyllm.codegen.tokenizers.encode.rewrite import COMPOSE
from tinyllm.codegen.tokenizers.formats.byte_level import BYTES, bytes_of
from tinyllm.codegen.tokenizers.formats.vocabulary import check_pieces
from tinyllm.codegen.tokenizers.tokenizer import Algorithm, PieceKind, Tokenizer
from tinyllm.errors import UserError
from tinyllm.text import shown

PRE, MERGES = "tokenizer.ggml.pre", "tokenizer.ggml.merges"
MAX_MERGES = 1 << 21


@dataclass(frozen=True)
class PreTokenizer:
    """What a name stands for.

    pattern: in pretokenize.PATTERNS. whole_words, add_bos: as in Tokenizer. nfc: whether text is put into NFC.
    """

    pattern: str
    whole_words: bool = False
    add_bos: bool = False
    nfc: bool = False


_LLAMA3 = PreTokenizer("llama3", whole_words=True, add_bos=True)
_QWEN2 = PreTokenizer("qwen2", nfc=True)
_SMOLLM = PreTokenizer("smollm")
_GPT2 = PreTokenizer("gpt2")
PRE_TOKENIZERS = {
    "gpt-2": _GPT2,
    "phi-2": _GPT2,
    "roberta-bpe": _GPT2,
    "llama-bpe": _LLAMA3,
    "llama3": _LLAMA3,
    "llama-v3": _LLAMA3,
    "falcon3": _LLAMA3,
    "pixtral": _LLAMA3,
    "lfm2": _LLAMA3,
    "dbrx": PreTokenizer("llama3"),
    "smaug-bpe": PreTokenizer("llama3"),
    "qwen2": _QWEN2,
    "deepseek-r1-qwen": _QWEN2,
    "megrez": _QWEN2,
    "smollm": _SMOLLM,
    "starcoder": _SMOLLM,
    "refact": _SMOLLM,
    "codeshell": _SMOLLM,
    "gpt-4o": PreTokenizer("o200k"),
    "tekken": PreTokenizer("tekken", whole_words=True, add_bos=True),
}


def read_byte_level(gguf: Gguf, texts: Sequence[bytes], kinds: Sequence[PieceKind]) -> Tokenizer:
    """The tokenizer, without the ids of its special tokens.

    If a byte or a merge also gives a user-defined token, the token is both, as in llama.cpp (Tokenizer.shared).
    Raises UserError, naming key and item, for an unknown pre-tokenizer, for a text with letters that stand for no byte,
    for a special token that stands for a byte, and for a merge whose parts or whole are no pieces, or that occurs
    twice.
    """
    pre = _pre_tokenizer(gguf)
    prefix = gguf.flag("tokenizer.ggml.add_space_prefix", False)
    # As in llama.cpp, the unknown piece is not used here: a byte without a piece is dropped.
    kinds = [PieceKind.CONTROL if kind is PieceKind.UNKNOWN else kind for kind in kinds]
    merges = _merges(gguf)
    shared = _shared(texts, kinds, merges)
    for _, token in shared:
        kinds[token] = PieceKind.NORMAL
    pieces = tuple(_piece(gguf, token, text, kinds[token]) for token, text in enumerate(texts))
    check_pieces(gguf.path, pieces, kinds, byte_level=True, user_defined_first=True)
    _refuse_special_bytes(gguf, texts, kinds)
    return Tokenizer(
        pieces=pieces,
        kinds=tuple(kinds),
        ranks=(),
        bos=None,
        eos=None,
        stop_ids=(),
        add_dummy_prefix=prefix,
        prefix_sections=prefix,
        prefix_unless_space=prefix,
        remove_extra_whitespaces=False,
        source="gguf",
        algorithm=Algorithm.PAIRS,
        merges=_merge_ids(gguf, merges, texts, kinds),
        byte_level=True,
        pattern=pre.pattern,
        whole_words=pre.whole_words,
        add_bos=pre.add_bos,
        user_defined_first=True,
        shared=shared,
        rewrites=(COMPOSE,) if pre.nfc else (),
    )


def _pre_tokenizer(gguf: Gguf) -> PreTokenizer:
    name = gguf.text(PRE)
    if name not in PRE_TOKENIZERS:
        found = "missing" if name is None else shown(name)
        raise UserError(
            f"{gguf.path}: {PRE} is {found}, expected one of {', '.join(PRE_TOKENIZERS)};"
            " convert the model again with a current llama.cpp, or give its tokenizer with --tokenizer"
        )
    return PRE_TOKENIZERS[name]


def _piece(gguf: Gguf, token: int, text: bytes, kind: PieceKind) -> bytes:
    if kind is PieceKind.BYTE:
        raise UserError(
            f"{gguf.path}: token {token} ({shown(text)}) has tokenizer.ggml.token_type 6, expected another type:"
            " in byte-level BPE every piece is bytes; convert the file again"
        )
    if kind is not PieceKind.NORMAL:
        return text
    piece = bytes_of(text.decode("utf-8", "replace"))
    if piece is None:
        raise UserError(
            f"{gguf.path}: token {token} ({shown(text)}) holds letters that stand for no byte; convert the file again"
        )
    return piece


def _shared(
    texts: Sequence[bytes], kinds: Sequence[PieceKind], merges: Sequence[bytes]
) -> tuple[tuple[bytes, int], ...]:
    """The text and id of each user-defined token whose letters stand for one byte, or that a merge makes."""
    made = {entry.replace(b" ", b"") for entry in merges}
    return tuple(
        (text, token)
        for token, text in enumerate(texts)
        if kinds[token] is PieceKind.USER_DEFINED and (text in made or _byte(text) is not None)
    )


def _refuse_special_bytes(gguf: Gguf, texts: Sequence[bytes], kinds: Sequence[PieceKind]) -> None:
    """Refuse a special token that stands for a byte: any byte may be in a person's text, which must not give it."""
    for token, text in enumerate(texts):
        if kinds[token] is PieceKind.CONTROL and (byte := _byte(text)) is not None:
            raise UserError(
                f"{gguf.path}: token {token} ({shown(text)}) is special and stands for the byte 0x{byte:02X} of any"
                " text, which cannot be followed; choose another model"
            )


def _byte(text: bytes) -> int | None:
    """The byte that a text of one letter stands for, else None."""
    return BYTES.get(text.decode("utf-8", "replace"))


def _merges(gguf: Gguf) -> list[bytes]:
    """Each merge as in the file: two texts with a space between them."""
    entries = gguf.metadata.get(MERGES)
    if not isinstance(entries, list) or len(entries) > MAX_MERGES:
        raise UserError(
            f"{gguf.path}: {MERGES} is not an array of up to {MAX_MERGES:,} strings; convert the file again"
        )
    return entries


def _merge_ids(
    gguf: Gguf, entries: Sequence[bytes], texts: Sequence[bytes], kinds: Sequence[PieceKind]
) -> tuple[tuple[int, int, int], ...]:
    ids = {text: token for token, text in enumerate(texts) if kinds[token] is PieceKind.NORMAL}
    merges: dict[tuple[int, int], int] = {}
    for rank, entry in enumerate(entries):
        parts = entry.split(b" ")
        tokens = [ids.get(text) for text in (*parts, b"".join(parts))]
        if len(tokens) != 3 or None in tokens:
            raise UserError(
                f"{gguf.path}: {MERGES}[{rank}] is {shown(entry)}, expected two pieces that make a third;"
                " convert the file again"
            )
        left, right, joined = (token for token in tokens if token is not None)
        if (left, right) in merges or joined in (left, right):
            raise UserError(
                f"{gguf.path}: {MERGES}[{rank}] is {shown(entry)}, expected a pair that is not there before;"
                " convert the file again"
            )
        merges[left, right] = joined
    return tuple((left, right, joined) for (left, right), joined in merges.items())
