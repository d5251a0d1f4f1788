"""Errors in the form of OpenAI's API: a status, and {"error": {"message", "type", "param", "code"}}."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse

from tinyllm.errors import TinyllmError, UserError
from tinyllm.host.link.errors import BoardGone, LostFrame, Refused
from tinyllm.host.link.messages import ErrorCode

RETRY_SECONDS = "1"
"""How long a client is asked to wait if the queue is full or no board is there."""
TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
"""The type of an error by its status. Other statuses below 500 are invalid_request_error."""


class ApiError(Exception):
    """A request that gets no answer. status: of HTTP. param: the field that is wrong. code: a word for programs."""

    def __init__(self, status: int, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.param, self.code = status, param, code

    def document(self) -> dict[str, Any]:
        """The JSON object of the error: the body of a response, or the last event of a stream."""
        usual = "server_error" if self.status >= 500 else "invalid_request_error"
        kind = TYPES.get(self.status, usual)
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        headers = {"Retry-After": RETRY_SECONDS} if self.status in (429, 503) else {}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse(self.document(), self.status, headers)


def no_board(error: Exception) -> ApiError:
    """The error for a board that went away. Status 503, because it may be back for the next request."""
    return ApiError(503, str(error), code="board_unavailable")


def api_error(error: TinyllmError) -> ApiError:
    """The error for what the board or the Python API raised: 4xx for a mistake of the client, else 5xx."""
    if isinstance(error, BoardGone | LostFrame):
        return no_board(error)
    if isinstance(error, Refused) and error.code == ErrorCode.TOO_LONG:
        return ApiError(400, str(error), "messages", "context_length_exceeded")
    if isinstance(error, Refused) and error.code == ErrorCode.BAD_REQUEST:
        return ApiError(500, f"{error}. An older program may be on the board: flash it again.")
    if isinstance(error, UserError):
        return ApiError(400, str(error))
    return ApiError(500, str(error))
