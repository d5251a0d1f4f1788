"""Compares a running board with the reference, and says what its tokens cost: counted, measured or estimated."""
