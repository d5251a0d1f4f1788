"""Tokenizers: one file per format, and the reference encoder and decoder."""

from __future__ import annotations

from tinyllm.codegen.tokenizers.find import find_tokenizer, read_tokenizer
from tinyllm.codegen.tokenizers.tokenizer import PieceKind, Tokenizer
from tinyllm.codegen.tokenizers.vocabulary import fit_vocabulary

__all__ = ["PieceKind", "Tokenizer", "find_tokenizer", "fit_vocabulary", "read_tokenizer"]
