"""Descriptions of boards: one TOML file for each board, and the code that reads them."""
