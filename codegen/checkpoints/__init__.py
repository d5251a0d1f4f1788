"""Checkpoint readers: one file per format, each producing a `Model`."""
