"""The verb run: one prompt, one answer."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack

import click

from tinyllm.errors import UserError
from tinyllm.host.chat.conversation import Sent, send
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
from tinyllm.host.terminal.answer_text import AnswerText
from tinyllm.host.terminal.keyboard import quiet_keyboard

LONGEST_PROMPT = 1 << 20
Show = Callable[[Token | Done], None]


@click.command(epilog=MODEL_HELP)
@model_argument
@click.option(
    "-p",
    "--prompt",
    metavar="TEXT",
    help="What the model answers or continues; -, or no such option, takes it from standard input.",
)
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
@click.option("--json-lines", is_flag=True, help="A JSON document a token as it comes, then the one of --json.")
def command(
    model: str | None,
    prompt: str | None,
    max_tokens: int,
    board: str,
    virtual: bool,
    port: str | None,
    settings: dict[Setting, int],
    raw: bool,
    system: str | None,
    options: LoadOptions,
    as_json: bool,
    json_lines: bool,
) -> None:
    """Give the model a prompt and stream its answer to stdout.

    If the model has a chat template the prompt is a turn of a chat; else, and with --raw, the model goes on from it.
    """
    output = Output(as_json or json_lines)
    said = read_prompt() if prompt in (None, "-") else prompt
    request = BoardRequest(model, options, board, port, virtual)
    settings[Setting.OVERFLOW] = Overflow.SLIDE
    tokens = budget(encode_setting(Setting.MAX_TOKENS, max_tokens, option_of(Setting.MAX_TOKENS)))
    with quiet_keyboard(), attach(request, output) as connection, connection.open() as link:
        check_model(request, connection, link)
        writer = turn_writer_for(request, connection, link.hello, raw, system)
        sent = writer.write(said, ())
        apply_settings(link, settings)
        show = _shows_nothing if as_json else _show_lines(output) if json_lines else _show_text()
        ids, text, done = _answer(link, sent, tokens, output, show)
        if as_json or json_lines:
            speed = rate(done.tokens, done.decode_us)
            document = {
                "model": link.hello.model,
                "model_hash": link.hello.model_hash,
                "build_id": link.hello.build_id,
                "board": link.hello.board,
                "prompt": said,
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
            (output.document_line if json_lines else output.document)(document)
            return
        output.note(f"{link.hello.model}@{link.hello.board}: {summary(done, connection.clock)}")


def read_prompt() -> str:
    """The prompt from standard input, without the line end that a pipe adds.

    UserError if there is none, if it is longer than any board takes, or if nothing is piped to a terminal's user.
    """
    if sys.stdin.isatty():
        raise UserError("a prompt is missing: say it with -p TEXT, or pipe it in, as in `echo TEXT | tinyllm run`.")
    try:
        text = sys.stdin.read(LONGEST_PROMPT + 1)
    except OSError as error:
        raise UserError(f"no prompt: standard input cannot be read ({error}). Say it with -p TEXT.") from None
    if len(text) > LONGEST_PROMPT:
        raise UserError(f"standard input holds more than {LONGEST_PROMPT:,} characters; no board takes such a prompt.")
    if not text.strip():
        raise UserError("standard input holds no prompt. Pipe one in, or say it with -p TEXT.")
    return text.removesuffix("\n").removesuffix("\r")


def _answer(link: Link, sent: Sent, max_tokens: int, output: Output, show: Show) -> tuple[list[int], str, Done]:
    """Stream the answer; Ctrl-C ends it and keeps what has come."""
    ids: list[int] = []
    text = ""
    done: Done | None = None
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
            show(event)
    assert done is not None
    return ids, text, done


def _show_text() -> Show:
    answer = AnswerText(sys.stdout)

    def show(event: Token | Done) -> None:
        answer.write(event.text)
        if isinstance(event, Done):
            answer.end()

    return show


def _show_lines(output: Output) -> Show:
    """A document for each token; one without a token for text that was left over at the end."""

    def show(event: Token | Done) -> None:
        token = event.token if isinstance(event, Token) else None
        if token is not None or event.text:
            output.document_line({"token": token, "text": event.text})

    return show


def _shows_nothing(event: Token | Done) -> None:
    """With --json all comes at the end."""
