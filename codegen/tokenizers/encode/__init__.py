"""Text to token ids and back: the specification of the C encoder."""
