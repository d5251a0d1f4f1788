"""Bytes: where each part of a program lies, and whether it fits a board."""
