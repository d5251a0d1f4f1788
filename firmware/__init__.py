"""Portable C99 sources that emitted projects carry along: engine, console, ports."""
