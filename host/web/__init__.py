"""A page for the browser that flashes a board and talks with it. docs/web.md shows its use."""
