"""The board's tokenizer and UTF-8 gate, compiled with the undefined behaviour sanitizer, against Python's."""

from __future__ import annotations

import random
import re
import shutil
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import skip_unless_ci
from tests.pipeline.c_library import ENGINE, compile_c, load_c
from tinyllm.codegen.emit.project import kernel_files, table_files
from tinyllm.codegen.emit.vocabulary import vocabulary_files
from tinyllm.codegen.kernels.generic import GENERIC
from tinyllm.codegen.tokenizers.encode import encoder as specification
from tinyllm.codegen.tokenizers.tables import lay_out
from tinyllm.codegen.tokenizers.tokenizer import PieceKind, Tokenizer

TEXT_MAX = 300
TOO_LONG = 2**32 - 1
TEXT_SOURCES = tuple(
    ENGINE / f"{name}.c"
    for name in (
        *("tokenizer", "normalize", "rewrite", "normal_form", "automaton", "cut", "pretokenize", "pieces", "unigram"),
        *("word_pieces", "score", "utf8"),
    )
)

CONTROLS = [(b"<unk>", PieceKind.UNKNOWN), (b"<s>", PieceKind.CONTROL), (b"</s>", PieceKind.CONTROL)]
BYTES = [(bytes([value]), PieceKind.BYTE) for value in range(256)]
HOSTILE = (
    b"*/",
    b"/*",
    b"//",
    b"??/",
    b"\\\n",
    b"\\",
    b'"',
    b"\n",
    b"\0",
    b"%s",
    b"{{ 1 }}",
    b"*" * 300,
    "\u202e".encode(),
)
ALPHABET = ["a", "b", "c", " ", "  ", "é", "字", "😀", "*/"]
FRAGMENTS = [
    *(letter.encode() for letter in ALPHABET),
    b"aab",
    b"\xe2\x96\x81",
    b"   ",
    b"\xff",
    b"\xe2\x96",
    b"\xed\xa0\x80",
]


def vocabulary(entries: list[tuple[bytes, PieceKind]], ranks: list[int] | None = None, **flags: Any) -> Tokenizer:
    """A tokenizer of these pieces after the three usual ones."""
    entries = CONTROLS + entries
    return Tokenizer(
        pieces=tuple(piece for piece, _ in entries),
        kinds=tuple(kind for _, kind in entries),
        ranks=tuple([0, 0, 0, *ranks] if ranks else range(len(entries))),
        bos=1,
        eos=2,
        stop_ids=flags.get("stop_ids", (2,)),
        add_dummy_prefix=flags.get("prefix", True),
        remove_extra_whitespaces=flags.get("fold", False),
        source="a test",
    )


def random_vocabulary(seed: int) -> Tokenizer:
    """Pieces of a few characters, ranks with ties; half of them have byte pieces, half fold spaces, and so on."""
    generator = random.Random(seed)
    words = {"".join(generator.choices(ALPHABET, k=generator.randint(1, 5))) for _ in range(60)}
    entries = [
        (word.encode(), PieceKind.USER_DEFINED if generator.random() < 0.05 else PieceKind.NORMAL)
        for word in sorted(words | set(generator.sample(ALPHABET, 6)))
    ]
    entries += BYTES if seed % 2 else []
    ranks = [generator.randrange(len(entries) // 2) for _ in entries]
    return vocabulary(entries, ranks, prefix=bool(seed & 2), fold=bool(seed & 4))


def normal(*pieces: bytes) -> list[tuple[bytes, PieceKind]]:
    return [(piece, PieceKind.NORMAL) for piece in pieces]


VOCABULARIES = {
    **{f"random {seed}": random_vocabulary(seed) for seed in range(8)},
    "nothing but an unknown piece": vocabulary([], stop_ids=()),
    "words": vocabulary(BYTES + normal(b" ", b"a", b"b", b" a", b"aa", b"ab", b"aab", b" aab"), fold=True),
    "runs of spaces": vocabulary(normal(b" ", b"a", b"b", b"  ", b"    ", b"  a", b" a", b" ab")),
    "hostile pieces": vocabulary(normal(*HOSTILE, b"a", *(b"*" * 2**k for k in range(9))), stop_ids=(0, 1, 2)),
}

MANY = vocabulary(
    normal(b"a", b"b", b"ab", b" ", b" a") + normal(*(f"{number:x}".encode() for number in range(0x1000, 0x11000)))
)
"""Needs 32 bits for a token and for an offset."""

ENCODER = """
    typedef uint%d_t tl_token_t;
    uint32_t tl_encode(const uint8_t *text, uint32_t n_bytes, bool bos, tl_token_t *tokens, uint32_t capacity);
    uint32_t tl_piece_text(uint32_t token, const uint8_t **bytes);
    bool tl_is_stop(uint32_t token);
"""

GATE = """
    struct tl_utf8 { uint8_t pending[4]; uint8_t n; };
    uint32_t tl_utf8_length(const uint8_t *bytes, uint32_t n);
    uint32_t tl_utf8_pass(struct tl_utf8 *gate, const uint8_t *bytes, uint32_t n, uint8_t *out);
    uint32_t tl_utf8_finish(struct tl_utf8 *gate, uint8_t *out);
"""


def text_files(tokenizer: Tokenizer) -> dict[str, str]:
    header = (
        f"#define TL_VOCAB_SIZE {tokenizer.vocab_size}u\n#define TL_TEXT_MAX {TEXT_MAX}u\n#define TL_PREFIX_TOKENS 0u\n"
    )
    return vocabulary_files(tokenizer) | {"model.h": header}


@dataclass(frozen=True)
class Encoder:
    """A tokenizer and its compiled form."""

    tokenizer: Tokenizer
    lib: Any
    ffi: Any

    def encode(self, text: bytes, bos: bool = False, capacity: int = 2 * TEXT_MAX) -> list[int] | None:
        """None if it is too long; what lies behind the capacity must stay as it was."""
        tokens = self.ffi.new("tl_token_t[]", [0xABCD] * (capacity + 8))
        count = self.lib.tl_encode(text, len(text), bos, tokens, capacity)
        assert list(tokens[capacity : capacity + 8]) == [0xABCD] * 8
        return None if count == TOO_LONG else list(tokens[0:count])

    def piece_text(self, token: int) -> bytes:
        start = self.ffi.new("const uint8_t **")
        length = self.lib.tl_piece_text(token, start)
        return bytes(self.ffi.buffer(start[0], length))


@pytest.fixture(scope="session")
def build_encoder(tmp_path_factory):
    def build(tokenizer: Tokenizer) -> Encoder:
        sources = ["vocabulary.c", *TEXT_SOURCES]
        declarations = ENCODER % (16 if tokenizer.vocab_size <= 0xFFFF else 32)
        library = load_c(tmp_path_factory.mktemp("text"), text_files(tokenizer), sources, declarations)
        return Encoder(tokenizer, library.lib, library.ffi)

    return build


@pytest.fixture(scope="session", params=VOCABULARIES)
def encoder(request, build_encoder) -> Encoder:
    return build_encoder(VOCABULARIES[request.param])


@pytest.fixture(scope="session")
def utf8(tmp_path_factory):
    return load_c(tmp_path_factory.mktemp("utf8"), {}, [ENGINE / "utf8.c"], GATE)


any_text = st.one_of(
    st.lists(st.sampled_from(FRAGMENTS), max_size=30).map(b"".join),
    st.text(max_size=30).map(lambda text: text.encode()),
    st.binary(max_size=60),
).filter(lambda text: len(text) <= TEXT_MAX)


@settings(max_examples=50, deadline=None)
@given(text=any_text, bos=st.booleans())
def test_the_board_encodes_any_bytes_as_the_reference_does(encoder, text, bos):
    assert encoder.encode(text, bos) == specification.encode(encoder.tokenizer, text, bos)


@settings(max_examples=25, deadline=None)
@given(text=any_text)
def test_a_board_says_too_long_exactly_when_the_tokens_do_not_fit(encoder, text):
    expected = specification.encode(encoder.tokenizer, text, bos=True)
    assert encoder.encode(text, bos=True, capacity=len(expected)) == expected
    assert encoder.encode(text, bos=True, capacity=len(expected) - 1) is None


@pytest.mark.parametrize("fragment", [b"a", b" ", b"*", b"\xff", b" a", "字".encode()])
def test_the_longest_text_is_encoded_and_one_byte_more_refused(encoder, fragment):
    text = (fragment * TEXT_MAX)[:TEXT_MAX]
    assert encoder.encode(text) == specification.encode(encoder.tokenizer, text)
    assert encoder.encode(text + b"a") is None


def test_a_token_decodes_as_in_the_reference(encoder):
    tokens = range(encoder.tokenizer.vocab_size)
    assert [encoder.piece_text(token) for token in tokens] == [
        specification.decode_piece(encoder.tokenizer, token) for token in tokens
    ]


def test_an_answer_ends_at_the_stop_tokens_only(encoder):
    tokens = range(encoder.tokenizer.vocab_size)
    assert {token for token in tokens if encoder.lib.tl_is_stop(token)} == set(encoder.tokenizer.stop_ids)


def test_more_pieces_than_16_bits_count_are_encoded_alike(build_encoder):
    encoder = build_encoder(MANY)
    for text in (b"", b"ab abab", b"1000", b"bb" + b" ab" * 90, b"\xff\xffz"):
        assert encoder.encode(text, bos=True) == specification.encode(MANY, text, bos=True)
    last = MANY.vocab_size - 1
    assert encoder.piece_text(last) == specification.decode_piece(MANY, last)


def test_the_stories_are_encoded_as_in_the_reference(stories_text, stories_tokenizer, build_encoder):
    encoder = build_encoder(stories_tokenizer)
    stories = stories_text[:30_000].encode()
    chunks = [stories[start : start + TEXT_MAX] for start in range(0, len(stories), TEXT_MAX)]
    for chunk in chunks:
        assert encoder.encode(chunk) == specification.encode(encoder.tokenizer, chunk)


def test_emitting_a_vocabulary_twice_gives_the_same_text():
    tokenizer = VOCABULARIES["random 1"]
    assert vocabulary_files(tokenizer) == vocabulary_files(replace(tokenizer))


@pytest.mark.parametrize("kind", [PieceKind.CONTROL, PieceKind.USER_DEFINED])
@settings(deadline=None)
@given(pieces=st.lists(st.one_of(st.binary(max_size=12), st.text("*/?\\\n\"'a\u202e{%", max_size=8)), max_size=20))
def test_no_piece_can_end_its_comment_or_leave_printable_ascii(kind, pieces):
    """What a C compiler reads as bytes, comments taken out as C99 6.4.9 says, is exactly the pieces and a zero."""
    pieces = {piece.encode() if isinstance(piece, str) else piece for piece in pieces}
    tokenizer = vocabulary([(piece, kind) for piece in sorted(pieces)])
    text = vocabulary_files(tokenizer)["vocabulary.c"]
    assert re.fullmatch(r"[ -~\n]*", text)
    assert "??" not in text
    assert not re.search(r"\\$", text, re.MULTILINE)
    table = text.split("tl_piece_bytes[] = {", 1)[1]
    table = re.sub(r"/\*.*?\*/", " ", table, flags=re.DOTALL).split("}", 1)[0]
    numbers = bytes(int(number) for number in table.replace(",", " ").split())
    assert sorted(numbers[:-1]) == sorted(
        b"".join(specification.decode_piece(tokenizer, n) for n in range(tokenizer.vocab_size))
    )
    assert numbers == b"".join(lay_out(tokenizer).texts) + b"\0"


def pass_all(utf8, chunks: list[bytes]) -> list[bytes]:
    """What comes out for each chunk, and at the end."""
    gate = utf8.ffi.new("struct tl_utf8 *")
    out = []
    for chunk in chunks:
        room = utf8.ffi.new("uint8_t[]", 3 * (len(chunk) + 2))
        out.append(bytes(utf8.ffi.buffer(room, utf8.lib.tl_utf8_pass(gate, chunk, len(chunk), room))))
    room = utf8.ffi.new("uint8_t[6]")
    return [*out, bytes(utf8.ffi.buffer(room, utf8.lib.tl_utf8_finish(gate, room)))]


def decode_all(chunks: list[bytes]) -> list[bytes]:
    """The same by Python's incremental decoder."""
    decoder = specification.utf8_stream()
    return [decoder.decode(chunk).encode() for chunk in chunks] + [decoder.decode(b"", final=True).encode()]


EDGES = bytes.fromhex("00 7f 80 8f 90 9f a0 bf c1 c2 df e0 e1 ed ef f0 f1 f4 f5 ff")
chunk = st.one_of(
    st.binary(max_size=8),
    st.text(max_size=4).map(lambda text: text.encode()),
    st.lists(st.sampled_from(EDGES), max_size=8).map(bytes),
)


@settings(deadline=None)
@given(chunks=st.lists(chunk, max_size=12))
def test_only_whole_characters_pass_the_gate_as_with_pythons_incremental_decoder(utf8, chunks):
    assert pass_all(utf8, chunks) == decode_all(chunks)
    single = [bytes([byte]) for byte in b"".join(chunks)]
    assert pass_all(utf8, single) == decode_all(single)


def test_the_gate_agrees_on_every_start_of_three_bytes_at_the_edges_of_the_tables(utf8):
    for first in EDGES:
        for second in EDGES:
            for third in EDGES:
                chunks = [bytes([first]), bytes([second, third])]
                assert pass_all(utf8, chunks) == decode_all(chunks)


@pytest.mark.parametrize("compiler", [pytest.param("gcc", marks=pytest.mark.sweep), "clang"])
def test_gcc_and_clang_have_nothing_to_say_about_the_c(tmp_path, compiler):
    if shutil.which(compiler) is None:
        skip_unless_ci(f"no {compiler} on PATH")
    for name in ("hostile pieces", "random 7", "nothing but an unknown piece"):
        tokenizer = VOCABULARIES[name]
        for source in ("vocabulary.c", *TEXT_SOURCES, ENGINE / "sampler.c"):
            compile_c(
                tmp_path,
                text_files(tokenizer) | kernel_files(GENERIC) | table_files(),
                [source],
                "-std=c99",
                "-O2",
                compiler=compiler,
            )


def test_the_headers_serve_cpp_too(tmp_path):
    headers = ("vocabulary.h", "tokenizer.h", "utf8.h", "sampler.h")
    program = "".join(f'#include "{header}"\n' for header in headers)
    files = text_files(VOCABULARIES["words"]) | {"headers.cpp": program}
    compile_c(tmp_path, files, ["headers.cpp"], "-std=c++17", "-fsyntax-only", compiler="c++")


def test_no_function_takes_more_than_400_bytes_of_stack(tmp_path):
    files = text_files(VOCABULARIES["words"]) | kernel_files(GENERIC) | table_files()
    for name in (*(source.stem for source in TEXT_SOURCES), "sampler"):
        compile_c(tmp_path, files, [ENGINE / f"{name}.c"], "-O2", "-fstack-usage", compiler="gcc")
        usage = [line.split("\t") for line in (tmp_path / f"{name}.su").read_text().splitlines()]
        if name not in (
            "automaton",
            "normal_form",
            "pretokenize",
            "rewrite",
            "unigram",
            "word_pieces",
        ):  # which this vocabulary leaves empty
            assert usage
        assert all(kind in ("static", "dynamic,bounded") and int(size) <= 400 for _, size, kind in usage)
