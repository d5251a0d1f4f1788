"""A conversation with a board: its turns, what is sent for them, its transcript, and its replay."""
