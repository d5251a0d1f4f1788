"""The verb run: one prompt, one answer."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack

import click

from tinyllm.errors import UserError
from tinyllm.host.api.board import Board
from tinyllm.host.api.chat import BoardChat
from tinyllm.host.api.settings import Sampling
from tinyllm.host.cli.model_options import MODEL_HELP, load_options, model_argument
from tinyllm.host.cli.options import board_option, json_option, port_option, virtual_option
from tinyllm.host.cli.sampler_options import sampler_options
from tinyllm.host.cli.tools_option import tools_option
from tinyllm.host.cli.turn_options import raw_option, system_option
from tinyllm.host.connect.attach import BoardRequest
from tinyllm.host.link.answer import Answer, summary
from tinyllm.host.link.messages import Setting
from tinyllm.host.link.settings import encode_setting, option_of
from tinyllm.host.model.load import LoadOptions
from tinyllm.host.output import Output
from tinyllm.host.terminal.answer_text import AnswerText
from tinyllm.host.terminal.keyboard import quiet_keyboard

LONGEST_PROMPT = 1 << 20
Show = Callable[[int | None, str], None]


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
@tools_option
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
    settings: Sampling,
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
    encode_setting(Setting.MAX_TOKENS, max_tokens, option_of(Setting.MAX_TOKENS))
    text = AnswerText(sys.stdout)
    show = _show_nothing if as_json else _show_line(output) if json_lines else _show_text(text)
    with quiet_keyboard(), Board(request, output) as running:
        running.settings.update(**settings, overflow="slide")
        chat = running.chat(system, raw)
        answer = _answer(running, chat, said, max_tokens, output, show)
        hello = running.hello
        if as_json or json_lines:
            speed = answer.tokens_per_second
            document = {
                "model": hello.model,
                "model_hash": hello.model_hash,
                "build_id": hello.build_id,
                "board": hello.board,
                "prompt": said,
                "chat_template": chat.template,
                "text": answer.text,
                "tokens": answer.tokens,
                "digest": answer.digest,
                "calls": [{"call": call, "result": result} for call, result in answer.calls],
                "reason": answer.reason,
                "prompt_tokens": answer.prompt_tokens,
                "prefill_us": answer.prefill_us,
                "decode_us": answer.decode_us,
                "tokens_per_second": None if speed is None else round(speed, 1),
                "clock": running.clock,
                "context": hello.context,
                "context_used": answer.context_used,
                "settings": {name: running.settings[name] for name in (*settings, "overflow")},
            }
            (output.document_line if json_lines else output.document)(document)
            return
        text.end()
        output.note(f"{hello.model}@{hello.board}: {summary(answer.done, running.clock)}")


def read_prompt() -> str:
    """The prompt from standard input, without the line end that a pipe adds.

    Raises UserError if stdin is a terminal, cannot be read, holds no prompt, or holds more than any board takes.
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


def _answer(board: Board, chat: BoardChat, said: str, max_tokens: int, output: Output, show: Show) -> Answer:
    """Stream the answer. Ctrl-C ends it and keeps the part that has arrived."""
    with board.stopping(), ExitStack() as until_token:
        stream = chat.ask(said, max_tokens, until_token.enter_context(output.progress("reading the prompt")))
        for token, text in stream.tokens():
            until_token.close()
            show(token, text)
        return stream.read()


def _show_text(answer: AnswerText) -> Show:
    return lambda token, text: answer.write(text)


def _show_line(output: Output) -> Show:
    """Print a document for each token; text left over at the end gets one without a token."""
    return lambda token, text: output.document_line({"token": token, "text": text})


def _show_nothing(token: int | None, text: str) -> None:
    """With --json everything is printed at the end."""
