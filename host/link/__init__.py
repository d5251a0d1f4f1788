"""The byte stream to a board: serial ports, frames, messages, and the link that sends requests over them."""
