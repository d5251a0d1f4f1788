"""Three ways to send user text: raw, as a chat turn for the board to format, or formatted here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from tinyllm.codegen.chat.conversation import conversation_ids
from tinyllm.codegen.chat.derive import Unsuited, derive
from tinyllm.codegen.chat.plan import ChatPlan
from tinyllm.codegen.chat.render import Message
from tinyllm.codegen.tokenizers import Tokenizer
from tinyllm.codegen.tokenizers.encode.encoder import encode_section
from tinyllm.errors import UserError
from tinyllm.host.chat.conversation import Sent, Turn
from tinyllm.host.connect.attach import BoardRequest
from tinyllm.host.connect.connection import Connection
from tinyllm.host.link.messages import HelloReply
from tinyllm.host.model.load import load_model, load_tokenizer, model_path


class TurnWriter(Protocol):
    """Formats the turns of a conversation for the board."""

    @property
    def name(self) -> str | None:
        """Where the chat template is rendered, "board" or "host"; None without a template."""

    def write(self, said: str, turns: Sequence[Turn]) -> Sent:
        """The prompt to send for a user text after these turns."""

    def write_past(self, said: str, answered: str, turns: Sequence[Turn]) -> list[Sent]:
        """The prompts that make the board read a turn that was held elsewhere. said, answered: the turn's two texts."""


class Plain:
    """Sends raw text, which the model continues."""

    name: str | None = None

    def write(self, said: str, turns: Sequence[Turn]) -> Sent:
        return Sent(said)

    def write_past(self, said: str, answered: str, turns: Sequence[Turn]) -> list[Sent]:
        return [Sent(said), Sent(answered)]


class OnBoard:
    """Sends the text as a turn; the board formats it with its own template."""

    name: str | None = "board"

    def write(self, said: str, turns: Sequence[Turn]) -> Sent:
        return Sent(said, chat=True)

    def write_past(self, said: str, answered: str, turns: Sequence[Turn]) -> list[Sent]:
        return [Sent(said, chat=True), Sent(answered)]


@dataclass(frozen=True)
class OnHost:
    """Renders the template here and sends token ids.

    plan: None for a template that must be rendered whole each time. Its text for earlier turns may then change; if it
    does, the board is reset and reads the conversation anew. context: the board's, in tokens.
    """

    template: str
    tokenizer: Tokenizer
    system: str | None
    plan: ChatPlan | None
    context: int
    name: str | None = "host"

    def write(self, said: str, turns: Sequence[Turn]) -> Sent:
        """As TurnWriter.write. Errors as render.render; UserError if a conversation to read anew is too long."""
        read = [turn for turn in turns if turn.done is None or turn.done.context_used > 0]
        held = _held(turns)
        if self.plan is not None:
            return Sent(tuple(self.plan.turn(self.tokenizer, said, not read, held[-1] if held else None)))
        messages = [] if self.system is None else [Message("system", self.system)]
        for turn in read:
            messages += [Message("user", turn.prompt), Message("assistant", turn.text)]
        ids = conversation_ids(self.template, self.tokenizer, [*messages, Message("user", said)])
        if ids[: len(held)] == held:
            return Sent(tuple(ids[len(held) :]))
        if len(ids) > self.context:
            raise UserError(
                f"the chat template writes this conversation anew, {len(ids)} tokens; the board's context is "
                f"{self.context}. /reset begins another."
            )
        return Sent(tuple(ids), anew=True)

    def write_past(self, said: str, answered: str, turns: Sequence[Turn]) -> list[Sent]:
        """As TurnWriter.write_past. Errors as `write`."""
        sent = self.write(said, turns)
        assert not isinstance(sent.content, str)
        return [replace(sent, content=(*sent.content, *encode_section(self.tokenizer, answered.encode(), False)))]


def _held(turns: Sequence[Turn]) -> list[int]:
    """The tokens of the conversation since the board's last reset, without prompts that were sent as text."""
    ids: list[int] = []
    for turn in turns:
        ids = [] if turn.sent.anew else ids
        ids += () if isinstance(turn.sent.content, str) else turn.sent.content
        ids += turn.answer
    return ids


def turn_writer_for(
    request: BoardRequest, connection: Connection, hello: HelloReply, raw: bool, system: str | None
) -> TurnWriter:
    """Choose how turns are sent: as the board's template, as the model's template here, or raw.

    Takes the board's if it has one and `system` is None; else the model's, if the model is known and has one; else
    none. Raises UserError for a system message that no template can take.
    """
    if raw:
        if system is not None:
            raise UserError("--system needs the model's chat template, which --raw leaves out. Leave out one of them.")
        return Plain()
    if system is not None and request.options.prefix is not None:
        raise UserError("--system: --prefix gives the system message already. Leave out one of them.")
    if system is None and hello.chat:
        return OnBoard()
    on_host = None if connection.process is None and request.model is None else _on_host(request, hello, system)
    if on_host is not None:
        return on_host
    if system is not None:
        hint = "Name the MODEL that the board runs." if request.model is None else f"{request.model} has none."
        raise UserError(f"--system needs a chat template. {hint}")
    return Plain()


def _on_host(request: BoardRequest, hello: HelloReply, system: str | None) -> OnHost | None:
    """The writer with the model's own template; None if it has none."""
    path, reading = model_path(request.model), request.options
    config = reading.facts(path).config
    if config.chat_template is None:
        return None
    if reading.trim_vocab is not None:
        tokenizer = load_model(request.model, reading).tokenizer
    else:
        _, tokenizer = load_tokenizer(path, config, reading)
    try:
        plan: ChatPlan | None = derive(config.chat_template, tokenizer, system)
    except Unsuited:
        plan = None
    return OnHost(config.chat_template, tokenizer, system, plan, hello.context)
