"""What a person is told when a thing is wrong: two kinds of error and one of warning, shared by every package.

The message is one or two lines: what is wrong, where, what was expected, what to do next.
"""


class TinyllmError(Exception):
    """Base of both; `exit_code` is what the command line returns."""

    exit_code = 1


class UserError(TinyllmError):
    """The input is wrong (a bad file, port or option): the user can mend it. Exit code 2."""

    exit_code = 2


class Failure(TinyllmError):
    """The work failed though the input was right (a board went away, a mismatch). Exit code 1."""

    exit_code = 1


class CheckpointWarning(UserWarning):
    """A file of a model lacks something or contradicts itself, and is read all the same; the message tells how."""
