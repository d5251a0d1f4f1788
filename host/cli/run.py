"""The verb run: one prompt, one answer."""

from __future__ import annotations

import sys
from contextlib import ExitStack

import click

from tinyllm.host.chat.answer_text import AnswerText
from tinyllm.host.chat.conversation import Sent, send
from tinyllm.host.chat.keyboard import quiet_keyboard
from tinyllm.host.chat.turn_writer import turn_writer_for
from tinyllm.host.cli.model_options import MODEL_HELP, load_options, model_argument
from tinyllm.host.cli.options import board_option, json_option, port_option, virtual_option
from tinyllm.host.cli.sampler_options import sampler_options
from tinyllm.host.cli.turn_options import raw_option, system_option
from tinyllm.host.connect.attach import BoardRequest, attach
from tinyllm.host.link.answer import rate, reason_name, stopping, summary
from tinyllm.host.link.link import Link
from tinyllm.host.link.messages import Done, Overflow, Progress, Setting, Token
from tinyllm.host.link.settings import apply_settings, budget, encode_setting, option_of, setting_value
from tinyllm.host.model.load import LoadOptions
from tinyllm.host.output import Output
from tinyllm.host.prove.expected_answers import check_model


@click.command(epilog=MODEL_HELP)
@model_argument
@click.option("-p", "--prompt", metavar="TEXT", required=True, help="What the model answers or continues.")
@click.option(
    "-n",
    "--max-tokens",
    metavar="N",
    type=int,
    default=256,
    show_default=True,
    help="Tokens of the answer, 0 = until the model stops.",
)
@board_option
@virtual_option
@port_option
@sampler_options
@raw_option
@system_option
@load_options
@json_option
def command(
    model: str | None,
    prompt: str,
    max_tokens: int,
    board: str,
    virtual: bool,
    port: str | None,
    settings: dict[Setting, int],
    raw: bool,
    system: str | None,
    options: LoadOptions,
    as_json: bool,
) -> None:
    """Give the model a prompt and stream its answer to stdout.

    If the model has a chat template the prompt is a turn of a chat; else, and with --raw, the model goes on from it.
    """
    output = Output(as_json)
    request = BoardRequest(model, options, board, port, virtual)
    settings[Setting.OVERFLOW] = Overflow.SLIDE
    tokens = budget(encode_setting(Setting.MAX_TOKENS, max_tokens, option_of(Setting.MAX_TOKENS)))
    with quiet_keyboard(), attach(request, output) as connection, connection.open() as link:
        check_model(request, connection, link)
        writer = turn_writer_for(request, connection, link.hello, raw, system)
        sent = writer.write(prompt, ())
        apply_settings(link, settings)
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
                    "chat_template": writer.name,
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
    shown = AnswerText(sys.stdout)
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
                shown.write(event.text)
    if not output.as_json:
        shown.end()
    assert done is not None
    return ids, text, done
