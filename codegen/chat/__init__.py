"""Chat templates: rendered on the host, and derived into a plan that a board can follow."""
