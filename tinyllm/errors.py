"""The two kinds of error a person sees, shared by every package because this is the lowest layer.

The message is one or two lines: what is wrong, where, what was expected, what to do next.
"""

import reprlib

LONGEST_SHOWN = 80
"""Characters of a value that a message quotes."""


class TinyllmError(Exception):
    """Base of both; `exit_code` is what the command line returns."""

    exit_code = 1


class UserError(TinyllmError):
    """The input is wrong (a bad file, port or option): the user can mend it. Exit code 2."""

    exit_code = 2


class Failure(TinyllmError):
    """The work failed though the input was right (a board went away, a mismatch). Exit code 1."""

    exit_code = 1


def shown(value: object) -> str:
    """A value of a hostile file as a message quotes it: on one line, and short whatever is nested in it."""
    text = reprlib.repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 4]} ..."
