"""Reads the tokenizer inside a GGUF file.

tokenizer.ggml.model tells its kind: "llama" is SentencePiece's BPE, "t5" its unigram, "gpt2" byte-level BPE. Keys:
gguf-py/gguf/constants.py of github.com/ggml-org/llama.cpp. Of SentencePiece's flags, a converter may write only
add_space_prefix. Then the vocabulary shows whether runs of spaces are folded, as for llama2.c: a piece with two spaces
in a row can only exist if they are not folded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tinyllm.codegen.checkpoints.gguf.file import Gguf, open_gguf
from tinyllm.codegen.tokenizers.formats.character_map import check_character_map
from tinyllm.codegen.tokenizers.formats.gguf_bpe import read_byte_level
from tinyllm.codegen.tokenizers.formats.vocabulary import MAX_VOCABULARY, Entry, build_tokenizer, distinct
from tinyllm.codegen.tokenizers.tokenizer import SPACE_MARK, Algorithm, PieceKind, Strip, Tokenizer
from tinyllm.errors import UserError
from tinyllm.text import shown

SENTENCEPIECE = {"llama": Algorithm.PIECES, "t5": Algorithm.UNIGRAM}
BYTE_LEVEL = "gpt2"
KINDS = {
    1: PieceKind.NORMAL,
    2: PieceKind.UNKNOWN,
    3: PieceKind.CONTROL,
    4: PieceKind.USER_DEFINED,
    6: PieceKind.BYTE,
}
# Converters add such pieces until the vocabulary has as many pieces as the embedding has rows. Their kind is unused or,
# in older files, unknown.
FILLER = re.compile(rb"\[PAD\d+\]")
FILLER_KINDS = (2, 5)
PHI3_WITHOUT_STRIP = (b"<unk>", b"<s>", b"<|endoftext|>")


def read_gguf_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer in the GGUF file at `path`.

    Raises UserError for a damaged file, for another kind of tokenizer, for an unknown pre-tokenizer and for unused
    pieces that are no fillers.
    """
    gguf = open_gguf(path)
    model = gguf.text("tokenizer.ggml.model")
    if model in SENTENCEPIECE:
        tokenizer = _sentencepiece(gguf, SENTENCEPIECE[model])
    elif model == BYTE_LEVEL:
        texts = _texts(gguf)
        tokenizer = read_byte_level(gguf, texts, _kinds(gguf, texts))
    else:
        found = "missing" if model is None else repr(model[:40])
        known = {"bert": " (word pieces)"}.get(model or "", "")
        raise UserError(
            f"{path}: tokenizer.ggml.model is {found}{known}, only {', '.join(SENTENCEPIECE)} and {BYTE_LEVEL} can be"
            " read; choose another model, or give its tokenizer with --tokenizer"
        )
    tokenizer = replace(
        tokenizer,
        bos=_token(gguf, "bos", tokenizer.bos, tokenizer.vocab_size),
        eos=_token(gguf, "eos", tokenizer.eos, tokenizer.vocab_size),
    )
    ends = (_token(gguf, name, None, tokenizer.vocab_size) for name in ("eot", "eom"))
    add_bos = gguf.flag("tokenizer.ggml.add_bos_token", tokenizer.add_bos)
    # The files have no field for stripping; llama.cpp too has it built in for this model.
    phi3 = model == "llama" and gguf.text("general.architecture") == "phi3"
    return replace(
        tokenizer,
        stop_ids=distinct(tokenizer.bos, tokenizer.eos, *ends),
        add_bos=add_bos and tokenizer.bos is not None,
        strips=tuple(_phi3_strips(tokenizer)) if phi3 else (),
    )


def _phi3_strips(tokenizer: Tokenizer) -> Iterator[tuple[int, Strip]]:
    """Every added token of Phi-3, except three, swallows the white space after it."""
    for token, (piece, kind) in enumerate(zip(tokenizer.pieces, tokenizer.kinds, strict=True)):
        if kind in (PieceKind.CONTROL, PieceKind.USER_DEFINED) and piece not in PHI3_WITHOUT_STRIP:
            yield token, Strip(right=True)


def _sentencepiece(gguf: Gguf, algorithm: Algorithm) -> Tokenizer:
    texts = _texts(gguf)
    # Converters write the marks of a user-defined piece as spaces. Any other piece with a plain space is a symbol that
    # SentencePiece was given with that space. It matches nothing, because a text's spaces have become marks.
    kinds = [
        PieceKind.UNREACHABLE if kind is PieceKind.NORMAL and b" " in text else kind
        for text, kind in zip(texts, _kinds(gguf, texts), strict=True)
    ]
    symbols = [text for text, kind in zip(texts, kinds, strict=True) if kind is PieceKind.UNREACHABLE]
    scores = _numbers(gguf, "tokenizer.ggml.scores", len(texts))
    keeps_runs = any(2 * SPACE_MARK in text for text in texts)
    llama = algorithm is Algorithm.PIECES
    return build_tokenizer(
        gguf.path,
        [Entry(*entry) for entry in zip(texts, scores, kinds, strict=True)],
        # The defaults if the file has no ids: llama.cpp takes Llama's; T5 has no BOS.
        bos=1 if llama and len(texts) > 1 else None,
        eos=(2 if llama else 1) if len(texts) > 2 else None,
        add_dummy_prefix=gguf.flag("tokenizer.ggml.add_space_prefix", True),
        remove_extra_whitespaces=gguf.flag("tokenizer.ggml.remove_extra_whitespaces", not keeps_runs),
        source="gguf",
        algorithm=algorithm,
        add_bos=llama,
        character_map=_character_map(gguf),
        unreachable_symbols=tuple(symbols),
    )


def _character_map(gguf: Gguf) -> bytes:
    key = "tokenizer.ggml.precompiled_charsmap"
    value = gguf.metadata.get(key)
    try:
        if value is None:
            return b""
        if isinstance(value, np.ndarray) and value.dtype in (np.uint8, np.int8):
            return check_character_map(value.tobytes())
    except ValueError as error:
        raise UserError(f"{gguf.path}: {key} is not sound ({error}); convert the file again") from error
    raise UserError(f"{gguf.path}: {key} is {shown(value)}, expected an array of bytes; convert the file again")


def _texts(gguf: Gguf) -> list[bytes]:
    texts = gguf.metadata.get("tokenizer.ggml.tokens")
    if not isinstance(texts, list) or not 1 <= len(texts) <= MAX_VOCABULARY:
        raise UserError(
            f"{gguf.path}: tokenizer.ggml.tokens is not an array of 1 to {MAX_VOCABULARY:,} strings;"
            " convert the file again"
        )
    return texts


def _kinds(gguf: Gguf, texts: Sequence[bytes]) -> list[PieceKind]:
    types = _numbers(gguf, "tokenizer.ggml.token_type", len(texts))
    return [_kind(gguf, token, *entry) for token, entry in enumerate(zip(texts, types, strict=True))]


def _numbers(gguf: Gguf, key: str, n: int) -> list[Any]:
    value = gguf.metadata.get(key)
    if not isinstance(value, np.ndarray) or len(value) != n:
        found = f"an array of {len(value):,}" if isinstance(value, (list, np.ndarray)) else "no array"
        raise UserError(
            f"{gguf.path}: {key} is {found}, expected {n:,} numbers, one for each of tokenizer.ggml.tokens;"
            " convert the file again"
        )
    numbers: list[Any] = value.tolist()
    return numbers


def _kind(gguf: Gguf, token: int, text: bytes, kind: int) -> PieceKind:
    if kind in FILLER_KINDS and FILLER.fullmatch(text):
        return PieceKind.CONTROL
    if kind not in KINDS:
        raise UserError(
            f"{gguf.path}: token {token} ({shown(text)}) has tokenizer.ggml.token_type {kind},"
            f" expected one of {sorted(KINDS)}; choose another model"
        )
    return KINDS[kind]


def _token(gguf: Gguf, name: str, default: int | None, vocab_size: int) -> int | None:
    key = f"tokenizer.ggml.{name}_token_id"
    token = gguf.scalar(key)
    if token is None:
        return default
    if not isinstance(token, int) or isinstance(token, bool) or not 0 <= token < vocab_size:
        raise UserError(f"{gguf.path}: {key} is {shown(token)}, expected 0 to {vocab_size - 1}; convert the file again")
    return token
