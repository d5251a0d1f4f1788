"""Tokenizers: a reader for each file format, and the reference encoder and decoder."""

from __future__ import annotations

from tinyllm.codegen.tokenizers.formats.find import find_tokenizer, read_tokenizer
from tinyllm.codegen.tokenizers.formats.vocabulary import fit_vocabulary
from tinyllm.codegen.tokenizers.tokenizer import PieceKind, Tokenizer

__all__ = ["PieceKind", "Tokenizer", "find_tokenizer", "fit_vocabulary", "read_tokenizer"]
