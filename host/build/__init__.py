"""From a model to a program on a board: emit, compile with PlatformIO, upload."""
