"""The two errors and the warning for users, shared by every package.

The message is one or two lines: what is wrong, where, what was expected, what to do next.
"""


class TinyllmError(Exception):
    """The base of both errors. exit_code: what the command line returns for the error."""

    exit_code = 1


class UserError(TinyllmError):
    """The input is wrong (a bad file, port or option), and the user can correct it. Exit code 2."""

    exit_code = 2


class Failure(TinyllmError):
    """The work failed although the input was right (a board went away, a mismatch). Exit code 1."""

    exit_code = 1


class CheckpointWarning(UserWarning):
    """A model's file lacks something or contradicts itself, but was read. The message says how it was read."""
