"""The JSON documents of OpenAI's API: whole answers, chunks of a stream, and models."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from typing import Any

from tinyllm.host.link.messages import HelloReply
from tinyllm.host.serve.parts import End, Part, Text, ToolCall
from tinyllm.host.serve.request_body import Body, ChatBody

LAST_EVENT = b"data: [DONE]\n\n"


def event(document: dict[str, Any]) -> bytes:
    """A server-sent event."""
    return b"data: " + json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def model_document(hello: HelloReply, since: int) -> dict[str, Any]:
    """The document of the model on the board. since: when the server started, in seconds of Unix time."""
    return {"id": hello.model, "object": "model", "created": since, "owned_by": f"tinyllm on {hello.board}"}


class Reply:
    """The documents of one answer."""

    def __init__(self, body: Body, hello: HelloReply) -> None:
        self._chat = isinstance(body, ChatBody)
        self._with_usage = bool(body.stream_options and body.stream_options.include_usage)
        self._head = {
            "id": ("chatcmpl-" if self._chat else "cmpl-") + secrets.token_hex(12),
            "created": int(time.time()),
            "model": hello.model,
            "system_fingerprint": f"{hello.model_hash}-{hello.build_id}",
        }
        self._calls = 0

    def whole(self, parts: Sequence[Part]) -> dict[str, Any]:
        """The document of an answer that is not streamed."""
        text = "".join(part.text for part in parts if isinstance(part, Text))
        calls = [self._call(part) for part in parts if isinstance(part, ToolCall)]
        (end,) = [part for part in parts if isinstance(part, End)]
        if self._chat:
            message: dict[str, Any] = {"role": "assistant", "content": text if text or not calls else None}
            message |= {"tool_calls": calls} if calls else {}
            said: dict[str, Any] = {"message": message}
        else:
            said = {"text": text}
        return {
            **self._head,
            "object": "chat.completion" if self._chat else "text_completion",
            "choices": [{"index": 0, **said, "logprobs": None, "finish_reason": end.reason}],
            "usage": usage_document(end),
        }

    def first(self) -> bytes:
        """The event that begins a stream."""
        return self._chunk({"role": "assistant", "content": ""}) if self._chat else b""

    def events(self, part: Part) -> bytes:
        """The server-sent events of one part of the answer."""
        if isinstance(part, Text):
            return self._chunk({"content": part.text}) if self._chat else self._chunk(part.text)
        if isinstance(part, ToolCall):
            return self._chunk({"tool_calls": [{"index": self._calls, **self._call(part)}]})
        assert isinstance(part, End)
        last = self._chunk({} if self._chat else "", part.reason)
        if self._with_usage:
            last += event({**self._head, "object": self._chunk_name, "choices": [], "usage": usage_document(part)})
        return last + LAST_EVENT

    @property
    def _chunk_name(self) -> str:
        return "chat.completion.chunk" if self._chat else "text_completion"

    def _chunk(self, said: dict[str, Any] | str, reason: str | None = None) -> bytes:
        content = {"text": said} if isinstance(said, str) else {"delta": said}
        choice = {"index": 0, **content, "logprobs": None, "finish_reason": reason}
        usage = {"usage": None} if self._with_usage else {}
        return event({**self._head, "object": self._chunk_name, "choices": [choice], **usage})

    def _call(self, call: ToolCall) -> dict[str, Any]:
        self._calls += 1
        function = {"name": call.name, "arguments": call.arguments}
        return {"id": f"call_{secrets.token_hex(12)}", "type": "function", "function": function}


def usage_document(end: End) -> dict[str, Any]:
    return {
        "prompt_tokens": end.prompt_tokens,
        "completion_tokens": end.completion_tokens,
        "total_tokens": end.prompt_tokens + end.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": end.cached_tokens},
    }
