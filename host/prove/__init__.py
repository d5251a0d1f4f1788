"""A running board against the reference."""
