"""The errors of a connection to a board."""

from __future__ import annotations

from tinyllm.errors import Failure, UserError
from tinyllm.host.link.messages import ErrorCode


class BoardGone(Failure):
    """The connection broke or the board fell silent."""


class LostFrame(Failure):
    """The board is there, but a frame that it sent never arrived."""


class Refused(Failure):
    """The board answered a request with ERROR; `code` says why. It exits as a UserError if the user can mend it."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code
        if code in (ErrorCode.TOO_LONG, ErrorCode.BAD_VALUE):
            self.exit_code = UserError.exit_code
