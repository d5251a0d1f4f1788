"""The tokenizer inside a GGUF file, where it is SentencePiece's: tokenizer.ggml.model "llama".

Keys: gguf-py/gguf/constants.py of github.com/ggml-org/llama.cpp. Of SentencePiece's flags, converters write
add_space_prefix alone. Whether runs of spaces are folded then shows in the vocabulary, as for llama2.c: a piece with
two spaces in a row can only have arisen where they are not.
"""

from __future__ import annotations

import re
import reprlib
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tinyllm.boards.errors import UserError
from tinyllm.codegen.checkpoints.gguf_file import CheckpointWarning, Gguf, open_gguf
from tinyllm.codegen.tokenizers.tokenizer import PieceKind, Tokenizer
from tinyllm.codegen.tokenizers.vocabulary import MAX_VOCABULARY, SPACE_MARK, Entry, build_tokenizer

KINDS = {
    1: PieceKind.NORMAL,
    2: PieceKind.UNKNOWN,
    3: PieceKind.CONTROL,
    4: PieceKind.USER_DEFINED,
    6: PieceKind.BYTE,
}
UNUSED = 5
# What converters fill a vocabulary up with to the rows of the embedding.
FILLER = re.compile(rb"\[PAD\d+\]")


def read_gguf_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer in the GGUF file at `path`.

    Warns (CheckpointWarning) where the file says that no BOS goes first, as there always does. Raises UserError for a
    damaged file, another kind of tokenizer, a normaliser that rewrites characters, and unused pieces.
    """
    gguf = open_gguf(path)
    model = gguf.text("tokenizer.ggml.model")
    if model != "llama":
        found = "missing" if model is None else repr(model[:40])
        known = {"gpt2": " (byte-level BPE)", "t5": " (unigram)", "bert": " (word pieces)"}.get(model or "", "")
        raise UserError(
            f"{path}: tokenizer.ggml.model is {found}{known}, only 'llama' (sentencepiece) can be read;"
            " choose another model, or give its tokenizer with --tokenizer"
        )
    charsmap = gguf.metadata.get("tokenizer.ggml.precompiled_charsmap")
    if isinstance(charsmap, np.ndarray) and charsmap.size:
        raise UserError(
            f"{path}: tokenizer.ggml.precompiled_charsmap is a normaliser, none can be followed; choose another model"
        )
    entries = _entries(gguf)
    bos, eos = _token(gguf, "bos", 1, len(entries)), _token(gguf, "eos", 2, len(entries))
    if not gguf.flag("tokenizer.ggml.add_bos_token", True):
        warnings.warn(
            f"{path}: tokenizer.ggml.add_bos_token is false; the BOS token goes first all the same",
            CheckpointWarning,
            stacklevel=2,
        )
    keeps_runs = any(2 * SPACE_MARK in entry.text for entry in entries)
    tokenizer = build_tokenizer(
        path,
        entries,
        bos=bos,
        eos=eos,
        add_dummy_prefix=gguf.flag("tokenizer.ggml.add_space_prefix", True),
        remove_extra_whitespaces=gguf.flag("tokenizer.ggml.remove_extra_whitespaces", not keeps_runs),
        source="gguf",
    )
    ends = (_token(gguf, name, eos, len(entries)) for name in ("eot", "eom"))
    return replace(tokenizer, stop_ids=tuple(dict.fromkeys((*tokenizer.stop_ids, *ends))))


def _entries(gguf: Gguf) -> list[Entry]:
    """The vocabulary: texts, scores and types, of one length."""
    texts = gguf.metadata.get("tokenizer.ggml.tokens")
    if not isinstance(texts, list) or not 1 <= len(texts) <= MAX_VOCABULARY:
        raise UserError(
            f"{gguf.path}: tokenizer.ggml.tokens is not an array of 1 to {MAX_VOCABULARY:,} strings;"
            " convert the file again"
        )
    scores = _numbers(gguf, "tokenizer.ggml.scores", len(texts))
    types = _numbers(gguf, "tokenizer.ggml.token_type", len(texts))
    return [
        Entry(text, score, _kind(gguf, token, text, kind))
        for token, (text, score, kind) in enumerate(zip(texts, scores, types, strict=True))
    ]


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
    if kind == UNUSED and FILLER.fullmatch(text):
        return PieceKind.CONTROL
    if kind not in KINDS:
        raise UserError(
            f"{gguf.path}: token {token} ({reprlib.repr(text)}) has tokenizer.ggml.token_type {kind},"
            f" expected one of {sorted(KINDS)}; choose another model"
        )
    if b" " in text and KINDS[kind] in (PieceKind.NORMAL, PieceKind.USER_DEFINED):
        # Text is matched after its spaces have become marks, so such a piece never matches anything.
        raise UserError(
            f"{gguf.path}: token {token} ({reprlib.repr(text)}) holds a plain space, expected the mark U+2581 in its"
            " place; convert the file again"
        )
    return KINDS[kind]


def _token(gguf: Gguf, name: str, default: int, vocab_size: int) -> int:
    key = f"tokenizer.ggml.{name}_token_id"
    value = gguf.scalar(key)
    token = default if value is None else value
    if not isinstance(token, int) or isinstance(token, bool) or not 0 <= token < vocab_size:
        raise UserError(
            f"{gguf.path}: {key} is {reprlib.repr(token)}, expected 0 to {vocab_size - 1}; convert the file again"
        )
    return token
