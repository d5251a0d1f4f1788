"""Memory: the bytes of each part of a program, where they lie, and whether they fit a board."""
