"""Word wrap of text that arrives in pieces, for a terminal."""

from __future__ import annotations

from wcwidth import wcswidth

TAB = 8


class WordWrap:
    """Moves a word to the next line if it does not fit, even if its first letters are already on the screen.

    It erases these letters with backspaces, which every terminal has. It never fills the last column: some terminals
    then keep the cursor there and others move it on, so that a backspace would land in different places.
    """

    def __init__(self) -> None:
        self.column = 0
        self._word = ""

    def feed(self, text: str, columns: int) -> str:
        """What to write for the next piece of text. columns: the terminal's width now.

        The text holds no control characters except newlines and tabs.
        """
        room = max(columns - 1, 2)
        return "".join(self._write(character, room) for character in text)

    def _write(self, character: str, room: int) -> str:
        if character == "\n":
            self.column, self._word = 0, ""
            return character
        if character in " \t":
            return self._space(character, room)
        if wcswidth(character) > 1 or wcswidth(self._word[-1:]) > 1:
            # Between wide characters a line may break anywhere. A combining character stays with what it combines.
            self._word = "" if wcswidth(character) > 0 else self._word
        start, grown = self.column - wcswidth(self._word), self._word + character
        width = wcswidth(grown)
        if start + width <= room:
            self._word, self.column = grown, start + width
            return character
        if start == 0:  # A word longer than a line.
            self._word, self.column = character, wcswidth(character)
            return f"\n{character}"
        erased = wcswidth(self._word)
        self._word, self.column = grown, width
        return "\b" * erased + " " * erased + f"\n{grown}"

    def _space(self, character: str, room: int) -> str:
        """What to write for a space or tab: nothing at the end of a line, because the next word begins a new one."""
        self._word = ""
        width = 1 if character == " " else TAB - self.column % TAB
        if self.column + width > room:
            self.column = room
            return ""
        self.column += width
        return " " * width
