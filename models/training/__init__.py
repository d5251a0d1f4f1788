"""The recipe that trained the bundled models."""
