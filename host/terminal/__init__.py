"""Talking on a terminal or through pipes: a chat's lines and slash commands, its screen, and an answer's text."""
