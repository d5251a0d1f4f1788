"""Tools: Python functions that answer the calls of a model that its board has no handler for."""
