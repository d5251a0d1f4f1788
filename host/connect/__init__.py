"""Connects to a board: on a port, or as a process of this computer."""
