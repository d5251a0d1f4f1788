"""A chat with a board: turns, screen, transcript, and replay after the board was lost."""
