"""A running board against the reference, and the pytest fixture `board`."""
