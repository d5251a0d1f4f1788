"""Frames and messages: what goes in comes out, in any chunks, and damage never passes for a frame."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyllm.host.link import messages as protocol
from tinyllm.host.link.frames import MAX_ENCODED, Frame, FrameReader, Stray, decode_frame, encode_frame
from tinyllm.host.link.messages import MalformedBody, Reply, Request, parse_reply, parse_request, to_frame, token_digest

u8 = st.integers(0, 0xFF)
u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFFFFFF)
i32 = st.integers(-(2**31), 2**31 - 1)
texts = st.text(max_size=60)
names = texts.filter(lambda text: len(text.encode()) <= 255)
hex8 = st.binary(min_size=8, max_size=8).map(bytes.hex)
frames = st.builds(Frame, u8, u8, st.binary(max_size=600))

requests = st.one_of(
    st.builds(protocol.Hello, u8),
    st.builds(protocol.Prompt, u32, texts | st.lists(u32, max_size=80).map(tuple)),
    st.builds(protocol.Prompt, u32, texts, st.just(True), st.booleans()),
    st.builds(protocol.Cancel),
    st.builds(protocol.Reset),
    st.builds(protocol.Set, u8, u32),
    st.builds(protocol.Get),
    st.builds(protocol.Logits, u32, u16),
    st.builds(protocol.Memory),
    st.builds(protocol.Bye),
    st.builds(protocol.GiveResult, texts),
    st.builds(protocol.CarryOut),
)
replies = st.one_of(
    st.builds(protocol.HelloReply, u8, u32, u32, u32, u32, u32, u32, hex8, hex8, names, names, names, u8, names, u8),
    st.builds(protocol.Ok, u8),
    st.builds(protocol.Token, u32, u32, texts),
    st.builds(protocol.Done, u8, u32, u32, u32, u32, u32, u32, u32, texts),
    st.builds(protocol.Error, u8, u8, texts),
    st.builds(protocol.LogitsReply, u32, st.lists(i32, max_size=60).map(tuple)),
    st.builds(protocol.MemoryReply, st.lists(st.tuples(names, u32), max_size=8).map(tuple)),
    st.builds(protocol.Settings, st.lists(st.tuples(u8, u32), max_size=9).map(tuple)),
    st.builds(protocol.Progress, u32, u32),
    st.builds(protocol.Call, u8, texts),
    st.builds(protocol.CallResult, st.lists(u32, max_size=9).map(tuple), texts),
)


def read_all(*chunks: bytes) -> list[Frame | Stray]:
    reader = FrameReader()
    return [item for chunk in chunks for item in reader.feed(chunk)]


def test_a_hello_is_these_bytes_on_the_wire() -> None:
    # COBS of a payload without zeros puts its length plus one in front.
    wire = encode_frame(to_frame(protocol.Hello(1), 7))
    assert wire == bytes.fromhex("00 06 01 07 01") + crc_ccitt_false(b"\x01\x07\x01").to_bytes(2, "little") + b"\x00"


def crc_ccitt_false(data: bytes) -> int:
    """CRC-16/CCITT-FALSE bit by bit, as the definition says."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def test_the_crc_has_the_check_value_of_its_catalogue_entry() -> None:
    assert crc_ccitt_false(b"123456789") == 0x29B1


@given(frames)
def test_every_frame_comes_back(frame: Frame) -> None:
    wire = encode_frame(frame)
    assert wire.count(0) == 2
    assert decode_frame(wire[1:-1]) == frame


@given(st.lists(frames, max_size=5), st.lists(st.integers(1, 50), max_size=60))
def test_frames_arrive_in_any_chunks(sent: list[Frame], sizes: list[int]) -> None:
    stream = b"".join(map(encode_frame, sent))
    chunks = []
    for size in sizes:
        chunks.append(stream[:size])
        stream = stream[size:]
    assert read_all(*chunks, stream) == sent


@given(st.lists(frames, min_size=2, max_size=5))
def test_frames_may_share_their_zero(sent: list[Frame]) -> None:
    assert read_all(b"\x00".join(encode_frame(frame).strip(b"\x00") for frame in sent), b"\x00") == sent


@given(st.lists(st.binary(min_size=1).filter(lambda data: 0 not in data), max_size=4), frames)
def test_text_between_frames_is_kept_apart(lines: list[bytes], frame: Frame) -> None:
    wire = encode_frame(frame)
    items = read_all(b"".join(wire + line for line in lines), wire)
    assert [item for item in items if isinstance(item, Frame)] == [frame] * (len(lines) + 1)
    assert [item.data for item in items if isinstance(item, Stray)] == lines


@given(frames, st.data())
def test_no_burst_of_damage_passes_for_a_frame(frame: Frame, data: st.DataObject) -> None:
    """CRC-16 detects every burst of up to 16 bits of the payload; damage to the COBS code bytes is another matter."""
    payload = bytearray(payload_of(frame))
    start = data.draw(st.integers(0, len(payload) * 8 - 1))
    pattern = data.draw(st.integers(1, 0xFFFF))
    value = int.from_bytes(payload, "big") ^ (pattern << start) % (1 << len(payload) * 8)
    damaged = value.to_bytes(len(payload), "big")
    if damaged != bytes(payload):
        assert decode_frame(cobs_encode(damaged)) is None


@given(frames, st.data())
def test_a_flipped_bit_on_the_wire_never_gives_another_frame(frame: Frame, data: st.DataObject) -> None:
    wire = bytearray(encode_frame(frame))
    bit = data.draw(st.integers(8, len(wire) * 8 - 9))
    wire[bit // 8] ^= 1 << bit % 8
    others = [item for item in read_all(bytes(wire)) if isinstance(item, Frame)]
    assert others in ([], [frame]) or plausible_by_chance(others)


def plausible_by_chance(items: list[Frame]) -> bool:
    """Damage to a COBS code byte moves many bytes, and one in 65,536 then passes the CRC: check that it truly does."""
    payloads = [payload_of(item) for item in items]
    return all(crc_ccitt_false(payload[:-2]) == int.from_bytes(payload[-2:], "little") for payload in payloads)


@given(frames, st.integers(1, 20))
def test_a_frame_cut_short_is_lost_and_the_next_one_works(frame: Frame, missing: int) -> None:
    wire = encode_frame(frame)
    cut = wire[: max(1, len(wire) - 1 - missing)]
    items = read_all(cut, encode_frame(Frame(3, 9, b"next")))
    assert [item for item in items if isinstance(item, Frame)] == [Frame(3, 9, b"next")]


@given(st.binary(max_size=2000), frames)
def test_noise_never_hides_the_frame_after_it(noise: bytes, frame: Frame) -> None:
    assert read_all(noise, encode_frame(frame))[-1] == frame


def test_a_stream_without_a_zero_takes_bounded_memory() -> None:
    reader = FrameReader()
    strays = []
    for _ in range(100):
        strays += list(reader.feed(b"x" * 1000))
        assert len(reader.pending) <= MAX_ENCODED
    assert b"".join(item.data for item in strays if isinstance(item, Stray)) + reader.pending == b"x" * 100_000


def test_an_endless_frame_is_refused_whole() -> None:
    assert {type(item) for item in read_all(encode_frame(Frame(1, 1, b"y" * 9000)))} == {Stray}


@pytest.mark.parametrize("piece", [1, 7, MAX_ENCODED + 1, 20_000])
def test_the_end_of_endless_bytes_is_no_frame_in_whatever_pieces_they_come(piece: int) -> None:
    """What follows MAX_ENCODED + 1 of them looks like a whole frame, but no zero stands before it."""
    data = b"x" * (MAX_ENCODED + 1) + encode_frame(Frame(0x82, 1, b"\x03"))[1:]
    items = read_all(*(data[at : at + piece] for at in range(0, len(data), piece)))
    assert {type(item) for item in items} == {Stray}


@given(requests, u8)
def test_every_request_comes_back(request: Request, sequence: int) -> None:
    frame = to_frame(request, sequence)
    assert (frame.type, frame.sequence) == (request.TYPE, sequence)
    assert parse_request(frame) == request


@given(replies, u8)
def test_every_reply_comes_back(reply: Reply, sequence: int) -> None:
    assert parse_reply(to_frame(reply, sequence)) == reply


@given(u8, st.binary(max_size=100))
def test_any_body_is_read_or_refused(kind: int, body: bytes) -> None:
    for parse in (parse_request, parse_reply):
        try:
            message = parse(Frame(kind, 0, body))
        except MalformedBody:
            continue
        assert message.body() == body


@given(replies.filter(lambda reply: hasattr(reply, "LAYOUT")), st.data())
def test_a_body_cut_inside_its_fixed_part_is_refused(reply: Reply, data: st.DataObject) -> None:
    fixed = struct.calcsize(reply.LAYOUT)
    with pytest.raises(MalformedBody):
        parse_reply(Frame(reply.TYPE, 0, reply.body()[: data.draw(st.integers(0, fixed - 1))]))


def test_the_hello_reply_has_the_layout_of_its_table() -> None:
    reply = protocol.HelloReply(1, 2, 3, 4, 5, 6, 7, "08" * 8, "09" * 8, "m", "bo", "0.1", 1, "k", 0, 2, "0a" * 8)
    numbers = b"".join(n.to_bytes(4, "little") for n in (2, 3, 4, 5, 6, 7))
    named = b"\x08" * 8 + b"\x09" * 8 + b"\x01m\x02bo\x030.1"
    assert reply.body() == b"\x01" + numbers + named + b"\x01\x01k\x00\x02" + b"\x0a" * 8


def test_a_prompt_of_tokens_has_kind_one() -> None:
    assert protocol.Prompt(5, (1, 258)).body() == bytes.fromhex("05000000 01 01000000 02010000")
    assert protocol.Prompt(5, "hé").body() == bytes.fromhex("05000000 00") + "hé".encode()


def test_a_turn_of_a_chat_has_kind_two() -> None:
    assert protocol.Prompt(5, "hé", chat=True).body() == bytes.fromhex("05000000 02") + "hé".encode()


def test_a_prompt_that_wants_to_be_asked_before_calls_has_80_in_its_kind() -> None:
    assert protocol.Prompt(5, "hé", chat=True, asks_first=True).body()[4] == 0x82
    assert protocol.Prompt(5, (1,), asks_first=True).body()[4] == 0x81


def test_message_types_are_those_of_the_specification() -> None:
    requests = ["HELLO", "PROMPT", "CANCEL", "RESET", "SET", "GET", "LOGITS", "MEMORY", "BYE"]
    replies = ["HELLO", "OK", "TOKEN", "DONE", "ERROR", "LOGITS", "MEMORY", "SETTINGS", "PROGRESS", "CALL", "RESULT"]
    numbered = [*zip(requests, range(1, 10), strict=True), ("GIVE_RESULT", 0x0B), ("CARRY_OUT", 0x0C)]
    assert [(kind.name, int(kind)) for kind in protocol.RequestType] == numbered
    assert [(kind.name, int(kind)) for kind in protocol.ReplyType] == list(zip(replies, range(0x81, 0x8C), strict=True))


@given(st.lists(u32), st.lists(u32))
def test_a_digest_is_crc32_of_the_ids_and_can_be_continued(first: list[int], second: list[int]) -> None:
    both = first + second
    assert token_digest(both) == zlib.crc32(struct.pack(f"<{len(both)}I", *both))
    assert token_digest(second, token_digest(first)) == token_digest(both)


def payload_of(frame: Frame) -> bytes:
    """The payload of a frame's encoding, decoded by the definition of COBS rather than by the library."""
    encoded = encode_frame(frame)[1:-1]
    payload = bytearray()
    at = 0
    while at < len(encoded):
        code = encoded[at]
        payload += encoded[at + 1 : at + code]
        at += code
        if code < 255 and at < len(encoded):
            payload.append(0)
    return bytes(payload)


def cobs_encode(payload: bytes) -> bytes:
    """COBS by its definition: each code byte counts the bytes to the next zero, 255 at most."""
    encoded = bytearray()
    for block in payload.split(b"\x00"):
        while len(block) >= 254:
            encoded += b"\xff" + block[:254]
            block = block[254:]
        encoded += bytes((len(block) + 1,)) + block
    return bytes(encoded)
