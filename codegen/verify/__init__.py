"""Compares the emitted C with the reference, and measures perplexity."""
