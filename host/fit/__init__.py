"""Tells before a build whether a model fits a board, how fast it is there, and how long a battery lasts."""
