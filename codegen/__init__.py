"""Checkpoint in, readable C out: readers, quantiser, reference and emitter."""
