"""Tokenizers: one file per format, and the reference encoder and decoder."""
