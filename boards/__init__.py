"""Board descriptions, one TOML per board, and what every layer above shares."""
