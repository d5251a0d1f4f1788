"""Chat templates: the host renders them, or derives a plan from them that a board can follow."""
