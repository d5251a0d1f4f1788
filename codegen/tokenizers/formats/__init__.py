"""Readers of tokenizer files: one file a format."""
