"""Choosing 4-bit weights by what they do to a text: calibration of a model before it is quantised."""
