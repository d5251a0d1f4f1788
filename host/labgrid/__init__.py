"""Boards of a labgrid: a driver and a strategy for environment files, and places to acquire (docs/labgrid.md)."""
