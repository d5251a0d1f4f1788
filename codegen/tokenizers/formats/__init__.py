"""Readers of tokenizer files, and the checks that they share."""
