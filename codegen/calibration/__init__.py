"""Calibration: choose a model's 4-bit weights by their effect on a text, before it is quantised."""
