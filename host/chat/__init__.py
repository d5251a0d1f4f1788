"""A conversation with a board: its turns, the prompts sent for them, transcripts, and replay."""
