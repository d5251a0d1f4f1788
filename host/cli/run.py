"""Verbs that talk to a board: run and chat."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import Annotated

import typer

from tinyllm.host.chat.chat import COMMANDS, Chat
from tinyllm.host.chat.conversation import Sent, send
from tinyllm.host.chat.screen import open_screen
from tinyllm.host.chat.turn_writer import turn_writer_for
from tinyllm.host.cli.options import (
    BoardOption,
    JsonOption,
    MinP,
    ModelArgument,
    Penalty,
    PortOption,
    Seed,
    Temperature,
    TopK,
    TopP,
    VirtualOption,
    reads_model,
)
from tinyllm.host.connect.attach import BoardRequest, attach, check_model, rate, reason_name, stopping, summary
from tinyllm.host.link.link import Link, printable
from tinyllm.host.link.messages import Done, Overflow, Progress, Setting, Token
from tinyllm.host.link.settings import budget, encode_setting, setting_value
from tinyllm.host.model.load import AS_STORED, LoadOptions
from tinyllm.host.output import Output

Raw = Annotated[bool, typer.Option("--raw", help="The text as it is, without the model's chat template.")]
System = Annotated[
    str | None,
    typer.Option("--system", metavar="TEXT", help="What the chat template tells the model before all else."),
]


@reads_model
def run(
    prompt: Annotated[str, typer.Option("-p", "--prompt", metavar="TEXT", help="What the model answers or continues.")],
    model: ModelArgument = None,
    max_tokens: Annotated[
        int, typer.Option("-n", "--max-tokens", metavar="N", help="Tokens of the answer, 0 = until the model stops.")
    ] = 256,
    board: BoardOption = "host",
    virtual: VirtualOption = False,
    port: PortOption = None,
    temperature: Temperature = 0.8,
    top_k: TopK = 0,
    top_p: TopP = 0.9,
    min_p: MinP = 0.0,
    repetition_penalty: Penalty = 1.0,
    seed: Seed = 1,
    raw: Raw = False,
    system: System = None,
    options: LoadOptions = AS_STORED,
    as_json: JsonOption = False,
) -> None:
    """Give the model a prompt and stream its answer to stdout.

    Where the model has a chat template the prompt is a turn of a chat; else, and with --raw, the model goes on from it.
    """
    output = Output(as_json)
    request = BoardRequest(model, options, board, port, virtual)
    settings = {
        Setting.TEMPERATURE: encode_setting(Setting.TEMPERATURE, temperature),
        Setting.TOP_K: encode_setting(Setting.TOP_K, top_k),
        Setting.TOP_P: encode_setting(Setting.TOP_P, top_p),
        Setting.MIN_P: encode_setting(Setting.MIN_P, min_p),
        Setting.REPETITION_PENALTY: encode_setting(Setting.REPETITION_PENALTY, repetition_penalty),
        Setting.SEED: encode_setting(Setting.SEED, seed),
        Setting.OVERFLOW: Overflow.SLIDE,
    }
    tokens = budget(encode_setting(Setting.MAX_TOKENS, max_tokens))
    with attach(request, output) as connection, connection.open() as link:
        check_model(request, connection, link)
        turns = turn_writer_for(request, connection, link.hello, raw, system)
        sent = turns.write(prompt, ())
        for setting, value in settings.items():
            link.set(setting, value)
        link.reset()
        ids, text, done = _answer(link, sent, tokens, output)
        speed = rate(done.tokens, done.decode_us)
        if as_json:
            output.document(
                {
                    "model": link.hello.model,
                    "model_hash": link.hello.model_hash,
                    "build_id": link.hello.build_id,
                    "board": link.hello.board,
                    "prompt": prompt,
                    "chat_template": turns.name,
                    "text": text,
                    "tokens": ids,
                    "digest": f"{done.digest:08x}",
                    "reason": reason_name(done),
                    "prompt_tokens": done.prompt_tokens,
                    "prefill_us": done.prefill_us,
                    "decode_us": done.decode_us,
                    "tokens_per_second": None if speed is None else round(speed, 1),
                    "clock": connection.clock,
                    "context": link.hello.context,
                    "context_used": done.context_used,
                    "settings": {name.name.lower(): setting_value(name, value) for name, value in settings.items()},
                }
            )
            return
        output.note(f"{link.hello.model}@{link.hello.board}: {summary(done, connection.clock)}")


def _answer(link: Link, sent: Sent, max_tokens: int, output: Output) -> tuple[list[int], str, Done]:
    """Stream the answer; Ctrl-C ends it and keeps what has come."""
    ids: list[int] = []
    text = ""
    done: Done | None = None
    to_terminal = sys.stdout.isatty()
    with stopping(link), ExitStack() as until_token:
        report = until_token.enter_context(output.progress("reading the prompt"))
        for event in send(link, sent, max_tokens):
            if isinstance(event, Progress):
                report(event.done, event.total)
                continue
            until_token.close()
            if isinstance(event, Token):
                ids.append(event.token)
            else:
                done = event
            text += event.text
            if not output.as_json:
                sys.stdout.write(printable(event.text) if to_terminal else event.text)
                sys.stdout.flush()
    if not output.as_json:
        sys.stdout.write("\n")
    assert done is not None
    return ids, text, done


@reads_model
def chat(
    model: ModelArgument = None,
    board: BoardOption = "host",
    virtual: VirtualOption = False,
    port: PortOption = None,
    raw: Raw = False,
    system: System = None,
    options: LoadOptions = AS_STORED,
    as_json: JsonOption = False,
) -> None:
    """Talk with the model; /help lists what can be changed on the way."""
    output = Output(as_json)
    request = BoardRequest(model, options, board, port, virtual)
    with attach(request, output) as connection:
        link = connection.open()
        try:
            check_model(request, connection, link)
            turns = turn_writer_for(request, connection, link.hello, raw, system)
        except BaseException:
            link.close()
            raise
        session = Chat(connection, link, open_screen(output, COMMANDS), turns)
        try:
            session.run()
        finally:
            session.close()
        if as_json:
            output.document(session.transcript())
