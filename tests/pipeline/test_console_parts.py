"""The console's primitives against others': frames the host's, CRC-32 zlib's, decimals exact, escapes ECMA-48's."""

from __future__ import annotations

import zlib
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pipeline.c_library import ENGINE, CLibrary, load_c
from tests.pipeline.escape_sequences import CUT, KEYS, SEQUENCES
from tinyllm.host.link.frames import Frame, encode_frame

CONSOLE = Path(__file__).resolve().parents[2] / "firmware/console"
DECLARATIONS = """
bool tl_escape_take(uint8_t byte);
void tl_escape_drop(void);
uint32_t tl_crc32(uint32_t crc, const uint8_t *bytes, uint32_t n);
bool tl_parse_whole(const char *text, uint32_t *value);
bool tl_parse_q16(const char *text, uint32_t *value);
void tl_print_whole(uint32_t value, char *out);
void tl_print_q16(uint32_t value, char *out);
void tl_print_scaled(uint64_t value, uint32_t decimals, char *out);
struct tl_frame { uint8_t type; uint8_t sequence; const uint8_t *body; uint32_t n_body; };
int tl_frame_take(uint8_t byte, struct tl_frame *frame);
void tl_frame_begin(uint8_t type, uint8_t sequence);
void tl_frame_put(const uint8_t *bytes, uint32_t n);
void tl_frame_end(void);
extern uint8_t sent[4096];
extern uint32_t n_sent;
"""
MODEL = "#include <stdint.h>\n#define TL_TEXT_MAX 1024u\n#define TL_CONTEXT 256u\n"
PORT = """
#include "port.h"
extern uint8_t sent[4096];
extern uint32_t n_sent;
uint8_t sent[4096];
uint32_t n_sent;
void tl_port_write(const uint8_t *bytes, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) { sent[n_sent++] = bytes[i]; }
}
"""
GOOD = 1
u8 = st.integers(0, 255)
u32 = st.integers(0, 2**32 - 1)
numbers = st.from_regex(r"[0-9]{0,6}(\.[0-9]{0,7})?", fullmatch=True)


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> CLibrary:
    port = (CONSOLE.parent / "ports/port.h").read_text(encoding="utf-8")
    files = {"model.h": MODEL, "port.h": port, "port.c": PORT}
    parts = [CONSOLE / f"{name}.c" for name in ("frames", "decimal", "escapes")]
    sources: list[str | Path] = [*parts, ENGINE / "crc32.c", "port.c"]
    return load_c(tmp_path_factory.mktemp("console"), files, sources, DECLARATIONS)


def printed(console: CLibrary, kind: str, *arguments: int) -> str:
    out = console.ffi.new("char[24]")
    getattr(console.lib, f"tl_print_{kind}")(*arguments, out)
    text: bytes = console.ffi.string(out)
    return text.decode()


def parsed(console: CLibrary, kind: str, text: str) -> int | None:
    value = console.ffi.new("uint32_t *")
    return value[0] if getattr(console.lib, f"tl_parse_{kind}")(text.encode(), value) else None


# Runs without a zero around COBS's longest block of 254 bytes, between zeros.
runs = st.lists(st.integers(0, 3) | st.integers(246, 258), max_size=3)
bodies = st.binary(max_size=600) | runs.map(lambda lengths: b"\0".join(b"\x7f" * length for length in lengths))


@given(u8, u8, bodies)
def test_a_frame_is_sent_as_the_host_would_write_it(console: CLibrary, kind: int, sequence: int, body: bytes) -> None:
    console.lib.n_sent = 0
    console.lib.tl_frame_begin(kind, sequence)
    console.lib.tl_frame_put(body, len(body))
    console.lib.tl_frame_end()
    sent = bytes(console.ffi.buffer(console.lib.sent, console.lib.n_sent))
    assert sent == encode_frame(Frame(kind, sequence, body))


@given(u8, u8, bodies)
def test_a_frame_is_read_as_the_host_wrote_it(console: CLibrary, kind: int, sequence: int, body: bytes) -> None:
    frame = console.ffi.new("struct tl_frame *")
    *_, result = [console.lib.tl_frame_take(byte, frame) for byte in encode_frame(Frame(kind, sequence, body))]
    assert result == GOOD
    assert (frame.type, frame.sequence) == (kind, sequence)
    assert bytes(console.ffi.buffer(frame.body, frame.n_body)) == body


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_the_crc_is_that_of_zlib_in_any_pieces(console: CLibrary, first: bytes, second: bytes) -> None:
    crc = console.lib.tl_crc32(console.lib.tl_crc32(0, first, len(first)), second, len(second))
    assert crc == zlib.crc32(first + second)


@given(u32)
def test_a_whole_number_is_read_back_as_printed(console: CLibrary, value: int) -> None:
    assert printed(console, "whole", value) == str(value)
    assert parsed(console, "whole", str(value)) == value


@given(st.integers(0, 2**64 - 1), st.integers(0, 6))
def test_scaled_numbers_are_exact(console: CLibrary, value: int, decimals: int) -> None:
    text = printed(console, "scaled", value, decimals)
    assert Fraction(text) == Fraction(value, 10**decimals)
    assert len(text.partition(".")[2]) == decimals


@settings(max_examples=500)
@given(u32)
def test_a_q16_number_is_printed_with_the_fewest_decimals_that_give_it_back(console: CLibrary, value: int) -> None:
    text = printed(console, "q16", value)
    assert parsed(console, "q16", text) == value
    decimals = len(text.partition(".")[2])
    if decimals:
        shorter = round(Fraction(value, 65536) * 10 ** (decimals - 1))
        assert parsed(console, "q16", printed(console, "scaled", shorter, decimals - 1)) != value


@settings(max_examples=500)
@given(numbers)
def test_a_q16_number_is_rounded_to_nearest_or_refused(console: CLibrary, text: str) -> None:
    expected = None
    if any(character.isdigit() for character in text) and len(text.partition(".")[2]) <= 6:
        exact = int(Fraction(text.strip(".") if text.endswith(".") else f"0{text}") * 65536 + Fraction(1, 2))
        expected = exact if exact < 2**32 else None
    assert parsed(console, "q16", text) == expected


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12))
def test_anything_else_is_no_number(console: CLibrary, text: str) -> None:
    if not (text.isascii() and text.isdigit()):
        assert parsed(console, "whole", text) is None
    if set(text) - set("0123456789."):
        assert parsed(console, "q16", text) is None


# --- Escape sequences ---

# Control characters apart from ESC: what a person types, a line end included.
typed = st.text(st.characters(exclude_characters="\x1b", exclude_categories=("Cs",)), max_size=8).map(str.encode)


def unescaped(console: CLibrary, data: bytes) -> bytes:
    """What is left of `data` when each byte that belongs to an escape sequence is taken out."""
    console.lib.tl_escape_drop()
    return bytes(byte for byte in data if not console.lib.tl_escape_take(byte))


@settings(max_examples=1000)
@given(st.lists(st.tuples(typed, SEQUENCES)), typed)
def test_text_with_any_escape_sequences_in_between_is_the_text_alone(
    console: CLibrary, parts: list[tuple[bytes, bytes]], rest: bytes
) -> None:
    data = b"".join(text + sequence for text, sequence in parts) + rest
    assert unescaped(console, data) == b"".join(text for text, _ in parts) + rest


@settings(max_examples=500)
@given(typed, CUT, st.sampled_from([b"\r", b"\n"]), typed)
def test_a_line_end_cuts_a_sequence_and_is_still_a_line_end(
    console: CLibrary, before: bytes, cut: bytes, line_end: bytes, after: bytes
) -> None:
    assert unescaped(console, before + cut + line_end + after) == before + line_end + after


@pytest.mark.parametrize("name", KEYS)
def test_a_key_leaves_the_text_around_it(console: CLibrary, name: str) -> None:
    assert unescaped(console, b"caf\xc3\xa9" + KEYS[name] + b"A[~;B") == b"caf\xc3\xa9A[~;B"


@given(st.binary(max_size=40).filter(lambda data: b"\x1b" not in data))
def test_without_an_esc_nothing_is_an_escape_sequence(console: CLibrary, data: bytes) -> None:
    assert unescaped(console, data) == data


@given(st.binary(max_size=60))
def test_no_bytes_keep_the_next_line_from_being_read(console: CLibrary, data: bytes) -> None:
    assert unescaped(console, data + b"\rnext").endswith(b"\rnext")
