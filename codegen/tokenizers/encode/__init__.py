"""Encodes text to token ids and decodes it again: the specification of the C encoder."""
