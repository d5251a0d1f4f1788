"""Turns one answer of the board into parts for a client: text, calls of the client's tools, the end and its counts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from tinyllm.codegen.actions.catalogue import parse_call
from tinyllm.host.api.answer_stream import AnswerStream, shown_call
from tinyllm.host.link.link import Link
from tinyllm.host.link.messages import Call, CallResult, Done, Handler, Reason, Token
from tinyllm.host.serve.parts import Begun, End, Part, StopAt, Text, ToolCall
from tinyllm.host.serve.request_body import Body, Function, Message, Tool
from tinyllm.host.tools.registry import TOOLS

REASONS: dict[int, str] = {Reason.STOP: "stop", Reason.LENGTH: "length", Reason.CONTEXT: "length"}


def tool_for(call: str, tools: Sequence[str]) -> str | None:
    """The client's tool for a call, None if it has none. light_set is light.set for clients that allow no dots."""
    return next((tool for tool in tools if tool in (call, call.replace(".", "_"))), None)


class Speech:
    """Reads a stream to its end, or to a call that the client must carry out.

    Afterwards `said` is the text that was shown, `call` the client's call, and `context_used` the tokens in the board's
    context. `whole` is true if the board holds exactly what was shown: the conversation can go on from there.
    """

    def __init__(
        self,
        stream: AnswerStream,
        link: Link,
        body: Body,
        counts: bool,
        result: str | None = None,
        replayed: bool = False,
    ) -> None:
        """body: has the client's tools, stop texts and limit. result: of the call that the stream begins with.

        counts: count the limit here instead of on the board, because an answer may go on after a call with another
        limit. replayed: the stream begins with the token that ends that call.
        """
        self.said, self.context_used, self.whole = "", 0, False
        self.call: ToolCall | None = None
        self._stream, self._link, self._tools, self._limit = stream, link, body.tool_names, body.limit
        self._stop, self._counts = StopAt(body.stop), counts
        self._result, self._given = result, result is not None
        self._to_board = False
        self._generated = self._shown_tokens = -1 if replayed else 0
        self._cut = ""
        self._call_text = ""

    def message(self) -> Message:
        """The answer as a message: the client sends it back with its next request."""
        calls = [] if self.call is None else [Function(name=self.call.name, arguments=self.call.arguments)]
        return Message(role="assistant", content=self.said, tool_calls=[Tool(function=call) for call in calls])

    def result_of(self, call: str) -> str | None:
        """The result of a call, for Link.answer_call: from the client, or from a tool of this computer.

        None leaves the call to the board.
        """
        result, self._result = self._result, None
        if result is not None:
            return result
        return None if self._to_board else TOOLS.answer(call)

    def parts(self, cached: int) -> Iterator[Part]:
        """The parts of the answer. An event without text gives an empty Text. cached: tokens the board already held."""
        yield Begun()
        for event in self._stream.messages():
            if isinstance(event, Call) and self._stops_at(event):
                self.context_used = self._link.update_hello(meanwhile=self.call is not None).context_used
                if self.call is not None:
                    rest = self._stop.rest()
                    self.said += rest
                    yield Text(rest)
                    yield self.call
                break
            text = self._text_of(event)
            self.said += text
            yield Text(text)
            if isinstance(event, Done):
                self.context_used = event.context_used
                self._cut = self._cut or REASONS.get(event.reason, "stop")
                self.whole = self._shown_tokens == self._generated and not self._stop.found
                break
            self._cut_here()
        prompt = max(self.context_used - self._generated, 0)
        reason = "tool_calls" if self.call is not None else self._cut
        yield End(reason, prompt, min(cached, prompt), self._shown_tokens)

    def _stops_at(self, event: Call) -> bool:
        """Whether the answer stops at this call: the client must carry it out, or the answer was cut before it."""
        self._call_text = event.text
        if self._result is not None or event.answered == Handler.CARRIED_OUT:
            return False
        if self._cut:
            self._stream.close()
            return True
        name, values = parse_call(event.text)
        tool = tool_for(name, self._tools)
        if tool is not None:
            self.call = ToolCall(tool, json.dumps(values, ensure_ascii=False))
            self.whole = True
            return True
        self._to_board = event.answered == Handler.ASKED_FIRST
        return False

    def _text_of(self, event: object) -> str:
        """The text to show for an event."""
        text = ""
        if isinstance(event, Token):
            self._generated += 1
            self._shown_tokens += not self._cut
            text = event.text
        elif isinstance(event, CallResult):
            text = "" if self._given else shown_call(self._call_text, event.text)
            self._given = False
        elif isinstance(event, Done):
            text = event.text
        if self._cut:
            return ""
        text = self._stop.feed(text)
        return text + self._stop.rest() if isinstance(event, Done) else text

    def _cut_here(self) -> None:
        """Ask the board to end the answer at a stop text, or at the limit if that is counted here."""
        if self._cut:
            return
        if self._stop.found:
            self._cut = "stop"
        elif self._counts and self._shown_tokens >= self._limit:
            self._cut = "length"
        if self._cut:
            self._stream.stop()
