"""The page's protocol is the host's: the same bytes for the same messages, and the same messages from them."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import skip_unless_ci
from tinyllm.codegen.arithmetic.sampler_settings import SETTINGS
from tinyllm.errors import UserError
from tinyllm.host.link import messages as protocol
from tinyllm.host.link.frames import Frame, FrameReader, Stray, encode_frame
from tinyllm.host.web.site import PAGE, make_site

SCRIPT = """
import { readFileSync } from "node:fs";
const { frames, messages, settings } = Object.fromEntries(
  await Promise.all(["frames", "messages", "settings"].map(async (name) => [name, await import(`${PAGE}/${name}.js`)])),
);
const asked = JSON.parse(readFileSync(0, "utf-8"));
const bytes = (text) => Uint8Array.from(Buffer.from(text, "hex"));
const wire = (sequence, request) => Buffer.from(frames.encodeFrame({ ...request, sequence })).toString("hex");
const items = (found) => found.map(({ frame, stray }) =>
  frame ? [frame.type, frame.sequence, messages.hex(frame.body)] : messages.hex(stray));
const reader = new frames.FrameReader();
console.log(JSON.stringify({
  payloads: asked.payloads.map((body) => wire(7, { type: 0x8a, body: bytes(body) })),
  requests: asked.requests.map(([sequence, name, args]) => wire(sequence, messages[name](...args))),
  read: asked.stream.flatMap((piece) => items(reader.feed(bytes(piece)))),
  replies: asked.replies.map(([type, body]) => {
    try { return messages.parseReply({ type, body: bytes(body) }); } catch (error) {
      if (error instanceof messages.MalformedBody) return null;
      throw error;
    }
  }),
  digests: asked.tokens.map((tokens) => messages.tokenDigest(tokens)),
  encoded: asked.settings.map(([row, text]) => settings.encode(row, text)),
  decoded: asked.values.map(([row, value]) => settings.decode(row, value)),
  numbers: [messages.PROTOCOL_VERSION, messages.REQUESTS, messages.REPLIES, messages.REASONS, messages.ERRORS],
}));
"""
RANDOM = random.Random(12)
TEXTS = ["", "Hello", "größer 水 🙂", "\ufeffmark", 'light.set(room="hall")']


def some_bytes(size: int, zeros: float = 0.1) -> bytes:
    return bytes(0 if RANDOM.random() < zeros else RANDOM.randrange(256) for _ in range(size))


PAYLOADS = [bytes(0), *(some_bytes(size, zeros) for zeros in (0.0, 0.1) for size in (1, 250, 251, 252, 253, 504, 505))]
REQUESTS: list[tuple[str, list[Any], protocol.Request]] = [
    ("hello", [], protocol.Hello()),
    ("cancel", [], protocol.Cancel()),
    ("reset", [], protocol.Reset()),
    ("set", [3, 0xFFFFFFFF], protocol.Set(3, 0xFFFFFFFF)),
    ("get", [], protocol.Get()),
    ("logits", [70_000, 60], protocol.Logits(70_000, 60)),
    ("memory", [], protocol.Memory()),
    ("bye", [], protocol.Bye()),
    ("carryOut", [], protocol.CarryOut()),
    *(("giveResult", [text], protocol.GiveResult(text)) for text in TEXTS),
    *(("prompt", [5, text], protocol.Prompt(5, text)) for text in TEXTS),
    ("prompt", [protocol.UNTIL_STOP, "a", True, True], protocol.Prompt(protocol.UNTIL_STOP, "a", True, True)),
    ("prompt", [0, [1, 70_000]], protocol.Prompt(0, (1, 70_000))),
]
HELLO = protocol.HelloReply(
    4, 256, 1024, 1024, 7, 0xDEADBEEF, 1, "0123456789abcdef", "fedcba9876543210", "größer", "pico2", "0.1", 1, "armv8m",
    1, 3, "00" * 8,
)  # fmt: skip
REPLIES: list[protocol.Reply] = [
    HELLO,
    protocol.Ok(3),
    *(protocol.Token(3, 0xFFFFFFFF, text) for text in TEXTS),
    protocol.Done(2, 1, 2, 3, 4, 0xFFFFFFFF, 6, 7, "\ufffd"),
    protocol.Error(6, 2, "too long"),
    protocol.LogitsReply(3, (-1, 2**31 - 1, -(2**31))),
    protocol.MemoryReply((("flash.weights", 377_680), ("ram.kv_cache", 0xFFFFFFFF))),
    protocol.Settings(((1, 52429), (99, 7))),
    protocol.Progress(16, 64),
    protocol.Call(2, "beep()"),
    protocol.CallResult((1, 0xFFFFFFFF), "ok"),
]
EARLY_HELLO = HELLO.body()[:-9]
"""Of boards that were flashed before weights could lie beside a program."""
MALFORMED = [
    *((reply.TYPE, reply.body()[:-1]) for reply in REPLIES if reply.TYPE in (0x81, 0x82, 0x86, 0x87, 0x88, 0x89)),
    *((reply.TYPE, reply.body() + b"\0") for reply in REPLIES if reply.TYPE in (0x81, 0x82, 0x89)),
    (0x83, bytes(8) + b"\xff"),
    (0x8B, b"\x02\x00" + bytes(7)),
    (0x42, b""),
]
VALUES = ["0", "0.8", ".5", "1", "0.00002", "100", "100.1", "-1", "1e3", "x", "", "4294967295", "4294967296", "7.5"]


def as_python(reply: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in reply.items() if key != "type"}


@pytest.fixture(scope="module")
def stream() -> bytes:
    """Frames, noise and text in one stream."""
    frames = [encode_frame(Frame(reply.TYPE, index + 1, reply.body())) for index, reply in enumerate(REPLIES)]
    noise = [b"", b"hello\r\n", b"\x03", bytes(range(1, 200)), b"\x00\x00"]
    return b"".join(piece for frame in frames for piece in (frame, RANDOM.choice(noise)))


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return make_site([]).document["settings"]


@pytest.fixture(scope="module")
def said(stream: bytes, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What the page's modules make of it all, in one run of node."""
    if shutil.which("node") is None:
        skip_unless_ci("node is not installed")
    asked = {
        "payloads": [body.hex() for body in PAYLOADS],
        "requests": [(index + 1, name, arguments) for index, (name, arguments, _) in enumerate(REQUESTS)],
        "stream": [stream[at : at + 100].hex() for at in range(0, len(stream), 100)],
        "replies": [(reply.TYPE, reply.body().hex()) for reply in REPLIES]
        + [(kind, body.hex()) for kind, body in [(HELLO.TYPE, EARLY_HELLO), *MALFORMED]],
        "tokens": [[], [1], [0, 2**32 - 1, 70_000]],
        "settings": [(row, text) for row in rows for text in VALUES],
        "values": [(row, value) for row in rows for value in (0, 1, 655, 6554, 52429, 58982, 65536)],
    }
    script = SCRIPT.replace("${PAGE}", Path(PAGE).as_uri())
    command = ["node", "--input-type=module", "--eval", script]
    done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_frames_are_the_same_bytes(said: dict[str, Any]) -> None:
    assert said["payloads"] == [encode_frame(Frame(0x8A, 7, body)).hex() for body in PAYLOADS]


def test_requests_are_the_same_bytes(said: dict[str, Any]) -> None:
    expected = [
        encode_frame(protocol.to_frame(request, index + 1)).hex() for index, (_, _, request) in enumerate(REQUESTS)
    ]
    assert said["requests"] == expected


def test_a_stream_is_taken_apart_alike(said: dict[str, Any], stream: bytes) -> None:
    items = FrameReader().feed(stream)
    expected = [
        item.data.hex() if isinstance(item, Stray) else [item.type, item.sequence, item.body.hex()] for item in items
    ]
    assert said["read"] == expected


def test_replies_say_the_same(said: dict[str, Any]) -> None:
    expected = json.loads(json.dumps([asdict(reply) for reply in REPLIES]))
    assert [as_python(reply) for reply in said["replies"][: len(REPLIES)]] == expected


def test_an_early_hello_of_this_protocol_is_read(said: dict[str, Any]) -> None:
    expected = protocol.HelloReply.from_body(EARLY_HELLO)
    assert as_python(said["replies"][len(REPLIES)]) == asdict(expected)


def test_bodies_of_the_wrong_form_are_refused(said: dict[str, Any]) -> None:
    assert said["replies"][len(REPLIES) + 1 :] == [None] * len(MALFORMED)


def test_digests_are_the_same(said: dict[str, Any]) -> None:
    assert said["digests"] == [protocol.token_digest(tokens) for tokens in ([], [1], [0, 2**32 - 1, 70_000])]


def test_numbers_have_the_same_names(said: dict[str, Any]) -> None:
    version, requests, replies, reasons, errors = said["numbers"]
    assert version == protocol.PROTOCOL_VERSION
    assert requests == {kind.name: kind for kind in protocol.RequestType}
    assert replies == {kind.name: kind for kind in protocol.ReplyType}
    assert reasons == {str(int(reason)): reason.name.lower() for reason in protocol.Reason}
    assert errors == {str(int(code)): code.name.lower() for code in protocol.ErrorCode}


def test_settings_are_read_and_shown_alike(said: dict[str, Any]) -> None:
    encoded, decoded = iter(said["encoded"]), iter(said["decoded"])
    for row in SETTINGS.values():
        for text in VALUES:
            # A form takes what people write in it; Python's float takes more, as 1e3.
            parsed = row.parse(text) if text.replace(".", "", 1).isdecimal() else "no number"
            try:
                expected: int | None = row.encode(parsed)
            except UserError:
                expected = -1 if row.choices else None
            assert next(encoded) == expected, (row.name, text)
        for value in (0, 1, 655, 6554, 52429, 58982, 65536):
            shown, expected_value = next(decoded), row.decode(value)
            assert (shown if isinstance(expected_value, str) else float(shown)) == expected_value, (row.name, value)
