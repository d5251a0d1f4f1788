"""An older host with a newer board, and the other way round: they talk rightly or refuse in words, and never misread.

tests/data/older_voices has what host boards of older versions said, byte by byte, and how that was recorded.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import STORY_MODEL, TESTS
from tests.reliability.record_voice import ONCE, talk
from tinyllm.errors import TinyllmError
from tinyllm.host.api.board import Board
from tinyllm.host.link.frames import Frame, FrameReader, encode_frame
from tinyllm.host.link.link import Link
from tinyllm.host.link.messages import (
    PROTOCOL_VERSION,
    Error,
    ErrorCode,
    MalformedBody,
    ReplyType,
    RequestType,
    Token,
    parse_reply,
)

VOICES = {path.stem: json.loads(path.read_text()) for path in (TESTS / "data/older_voices").glob("*.json")}
Told = list[tuple[bytes, bytes]]
each_voice = pytest.mark.parametrize("voice", VOICES.values(), ids=VOICES)


def told(voice: dict[str, Any], part: str) -> Told:
    """Pairs of what was sent and what came back."""
    return [(bytes.fromhex(sent), bytes.fromhex(came)) for sent, came in voice[part]]


def frames_in(data: bytes) -> list[Frame]:
    return [item for item in FrameReader().feed(data) if isinstance(item, Frame)]


class OlderBoard:
    """A TCP port that answers as the older board did: each request of today's by what it said to one of its type."""

    def __init__(self, voice: dict[str, Any]) -> None:
        self._replies: dict[int, list[Frame]] = {}
        for sent, came in told(voice, "refused"):
            (request,) = frames_in(sent)
            self._replies[request.type] = frames_in(came)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"socket://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        reader = FrameReader()
        with contextlib.suppress(OSError):
            host, _ = self._listener.accept()
            while data := host.recv(4096):
                for item in reader.feed(data):
                    for reply in self._replies.get(item.type, []) if isinstance(item, Frame) else []:
                        host.sendall(encode_frame(Frame(reply.type, item.sequence, reply.body)))

    def close(self) -> None:
        self._listener.close()


@each_voice
def test_todays_host_refuses_an_older_board_in_words_or_reads_it_rightly(voice: dict[str, Any]) -> None:
    older = OlderBoard(voice)
    try:
        with Link(older.url, handshake_seconds=2, silence_seconds=2) as link:
            assert [event.text for event in link.prompt(ONCE.decode(), 3) if isinstance(event, Token)] == SAID
    except TinyllmError as error:
        assert voice["protocol"] != PROTOCOL_VERSION
        assert str(error) == (
            f"{older.url}: the board speaks protocol version {voice['protocol']}, this tinyllm speaks "
            f"{PROTOCOL_VERSION}. Update this tool and flash the board again."
        )
    finally:
        older.close()


SAID = [",", " there", " was"]
"""The first tokens of the answer to ONCE, of every version."""


@each_voice
def test_the_hello_of_an_older_board_is_never_taken_for_one_of_today(voice: dict[str, Any]) -> None:
    (hello,) = frames_in(told(voice, "program")[0][1])
    assert hello.type == ReplyType.HELLO
    with contextlib.suppress(MalformedBody):
        reply = parse_reply(hello)
        assert reply.version != PROTOCOL_VERSION or (reply.context, reply.board) == (64, "host")  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def today() -> Iterator[Board]:
    with Board.host(STORY_MODEL, 64) as board:
        board.link.close()
        yield board


def port_of(board: Board) -> int:
    return int(board.link.name.rpartition(":")[2])


@each_voice
def test_todays_board_obeys_nothing_of_an_older_host_or_answers_it_as_ever(voice: dict[str, Any], today: Board) -> None:
    asked = told(voice, "program")
    now = told({"now": talk(port_of(today), [sent for sent, _ in asked])}, "now")
    if voice["protocol"] == PROTOCOL_VERSION:
        for (_, then), (_, came) in zip(asked[1:5], now[1:5], strict=True):
            of_tokens = [frame for frame in frames_in(came) if frame.type == ReplyType.TOKEN]
            assert of_tokens == [frame for frame in frames_in(then) if frame.type == ReplyType.TOKEN]
            assert [frame.type for frame in frames_in(came)] == [frame.type for frame in frames_in(then)]
        return
    (refusal,) = frames_in(b"".join(came for _, came in now))
    assert parse_reply(refusal) == Error(ErrorCode.VERSION, RequestType.HELLO, str(PROTOCOL_VERSION))
    with Link(today.link.name) as link:
        assert (link.hello.context_used, link.hello.conversation_digest) == (0, 0)


@each_voice
def test_a_person_is_told_the_same_by_todays_board_as_by_an_older_one(voice: dict[str, Any], today: Board) -> None:
    said = told(voice, "text")
    with Link(today.link.name) as link:
        link.reset()
    assert [bytes.fromhex(came) for _, came in talk(port_of(today), [typed for typed, _ in said])] == [
        came for _, came in said
    ]
