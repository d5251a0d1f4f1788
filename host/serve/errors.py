"""An error as OpenAI's clients read it: a status, and {"error": {"message", "type", "param", "code"}}."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse

from tinyllm.errors import TinyllmError, UserError
from tinyllm.host.link.errors import BoardGone, LostFrame, Refused
from tinyllm.host.link.messages import ErrorCode

RETRY_SECONDS = "1"
"""What a client that finds the queue full, or no board, is asked to wait."""
TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
"""By status; the others below 500 are invalid_request_error."""


class ApiError(Exception):
    """Why a request has no answer. param: the field that is wrong. code: a word for programs."""

    def __init__(self, status: int, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.param, self.code = status, param, code

    def document(self) -> dict[str, Any]:
        """The body of the response, and what a stream says in place of its rest."""
        usual = "server_error" if self.status >= 500 else "invalid_request_error"
        kind = TYPES.get(self.status, usual)
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        headers = {"Retry-After": RETRY_SECONDS} if self.status in (429, 503) else {}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse(self.document(), self.status, headers)


def no_board(error: Exception) -> ApiError:
    """For a board that went away: it may be back for the next request."""
    return ApiError(503, str(error), code="board_unavailable")


def api_error(error: TinyllmError) -> ApiError:
    """What the board or the API said, by whose mistake it is."""
    if isinstance(error, BoardGone | LostFrame):
        return no_board(error)
    if isinstance(error, Refused) and error.code == ErrorCode.TOO_LONG:
        return ApiError(400, str(error), "messages", "context_length_exceeded")
    if isinstance(error, Refused) and error.code == ErrorCode.BAD_REQUEST:
        return ApiError(500, f"{error}. An older program may be on the board: flash it again.")
    if isinstance(error, UserError):
        return ApiError(400, str(error))
    return ApiError(500, str(error))
