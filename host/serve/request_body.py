"""The bodies of requests, checked field by field. What a board cannot do is refused; unknown fields are ignored."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from tinyllm.errors import UserError
from tinyllm.host.api.settings import encode
from tinyllm.host.serve.errors import ApiError
from tinyllm.text import shown

MOST_MESSAGES = 128
MOST_TOOLS = 128
MOST_STOPS, LONGEST_STOP = 4, 64
MOST_TOKENS = 4096
"""The most tokens of one answer, also if a request asks for more."""
USUAL_TOKENS = 256
"""The most tokens of an answer if the request sets no limit."""

CHECKED = ConfigDict(strict=True, extra="ignore")


class Function(BaseModel):
    """A function that a request offers, or a call of one. Only its name and the arguments of a call are read."""

    model_config = CHECKED
    name: Annotated[str, Field(min_length=1, max_length=64)]
    arguments: str = "{}"


class Tool(BaseModel):
    """A tool that the client offers."""

    model_config = CHECKED
    type: Literal["function"] = "function"
    function: Function


class Message(BaseModel):
    """One message of a chat. Content in several parts is joined to one text."""

    model_config = CHECKED
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str = ""
    tool_calls: Annotated[list[Tool], Field(max_length=MOST_TOOLS)] = []

    @field_validator("content", mode="before")
    @classmethod
    def _text(cls, content: Any) -> str:
        if isinstance(content, list):
            texts = [part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)]
            if len(texts) == len(content):
                return "".join(texts)
        elif content is None or isinstance(content, str):
            return content or ""
        raise ValueError("expected a text, or a list of parts with a text each: boards take no images")

    @field_validator("tool_calls", mode="before")
    @classmethod
    def _calls(cls, calls: Any) -> Any:
        return [] if calls is None else calls


class StreamOptions(BaseModel):
    """What a stream sends besides the answer."""

    model_config = CHECKED
    include_usage: bool | None = None


class ResponseFormat(BaseModel):
    """The format of the answer: text, because a board can be held to no other."""

    model_config = CHECKED
    type: Literal["text"]


class Body(BaseModel):
    """The fields that requests for a chat and for a completion share. Settings have the ranges of the board's."""

    model_config = CHECKED
    model: str
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    stop: list[Annotated[str, Field(min_length=1, max_length=LONGEST_STOP)]] = Field([], max_length=MOST_STOPS)
    n: Literal[1] | None = None
    presence_penalty: Literal[0] | None = None
    frequency_penalty: Literal[0] | None = None

    @field_validator("stop", mode="before")
    @classmethod
    def _stops(cls, stop: Any) -> Any:
        return [] if stop is None else [stop] if isinstance(stop, str) else stop

    @field_validator("presence_penalty", "frequency_penalty", mode="before")
    @classmethod
    def _none(cls, penalty: Any) -> Any:
        if penalty in (None, 0):
            return None
        raise ValueError("expected 0, for boards have repetition_penalty alone")

    @property
    def limit(self) -> int:
        """The most tokens of the answer."""
        return min(self.max_tokens or USUAL_TOKENS, MOST_TOKENS)

    @property
    def tool_names(self) -> list[str]:
        """The functions that the client offers."""
        return []

    @property
    def sampling(self) -> dict[str, Any]:
        """The sampler settings that the request names, as Board.ask takes them."""
        names = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "seed")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


class ChatBody(Body):
    """A request for the next message of a chat."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=MOST_MESSAGES)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    tools: Annotated[list[Tool], Field(max_length=MOST_TOOLS)] | None = None
    tool_choice: Literal["auto", "none"] | None = None
    logprobs: Literal[False] | None = None
    response_format: ResponseFormat | None = None

    @property
    def limit(self) -> int:
        return min(self.max_completion_tokens or self.max_tokens or USUAL_TOKENS, MOST_TOKENS)

    @property
    def tool_names(self) -> list[str]:
        return [] if self.tool_choice == "none" else [tool.function.name for tool in self.tools or []]


class CompletionBody(Body):
    """A request to continue a text."""

    prompt: str
    echo: Literal[False] | None = None
    suffix: Literal[""] | None = None
    best_of: Literal[1] | None = None

    @field_validator("prompt", mode="before")
    @classmethod
    def _prompt(cls, prompt: Any) -> Any:
        one = prompt[0] if isinstance(prompt, list) and len(prompt) == 1 else prompt
        if isinstance(one, str):
            return one
        raise ValueError("expected one text")


def _check_ranges(body: Body) -> None:
    for name, value in body.sampling.items():
        try:
            encode(name, value)
        except UserError as error:
            raise ApiError(400, str(error), name) from None


_B = TypeVar("_B", bound=Body)


def read_body(kind: type[_B], data: bytes) -> _B:
    """Read the body of a request. Raises ApiError that names the first wrong field and what was expected."""
    try:
        body = kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
    else:
        _check_ranges(body)
        return body
    if first["type"] == "json_invalid":
        raise ApiError(400, f"the body is no JSON ({first['msg']}); expected a JSON object.") from None
    param = ".".join(str(part) for part in first["loc"])
    said = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        raise ApiError(400, f"{param} is missing.", param)
    raise ApiError(400, f"{param or 'the body'} is {shown(first['input'])}: {said}.", param or None)
