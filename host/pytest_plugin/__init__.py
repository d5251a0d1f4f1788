"""The pytest plugin: a fixture `board` for tests that talk to a language model on a board (docs/testing-boards.md)."""
