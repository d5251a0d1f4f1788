"""A chat template in the emitted program: the board's turns have the tokens of the Python plan, whatever is typed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import skip_unless_ci
from tests.pipeline.c_library import ENGINE, CLibrary, compile_c, load_c
from tests.pipeline.conftest import BASE, random_model
from tests.pipeline.console_board import (
    GREEDY,
    SANITIZED,
    Answer,
    Board,
    Built,
    Person,
    Program,
    Refused,
    compile_program,
)
from tests.pipeline.test_engine_text import TEXT_MAX, TEXT_SOURCES, TOO_LONG, text_files
from tests.unit.chat_templates import FAMILIES, Family, small_tokenizer
from tinyllm.boards.description import load_board
from tinyllm.codegen.arithmetic.float_model import Model
from tinyllm.codegen.arithmetic.integer_forward import Reference
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.arithmetic.sampler import Sampler
from tinyllm.codegen.chat.derive import Unsuited, derive
from tinyllm.codegen.chat.plan import ChatPlan
from tinyllm.codegen.emit.chat_template import board_plan, chat_files
from tinyllm.codegen.emit.project import emit_project
from tinyllm.codegen.tokenizers.encode.encoder import encode
from tinyllm.codegen.tokenizers.tokenizer import Strip, Tokenizer
from tinyllm.host.link import messages as protocol
from tinyllm.host.link.messages import ErrorCode, token_digest

CONTEXT = 192
NO_TOKEN = 0xFFFF
TALK = ("Hello there!", "  And then?\n", "Why <|im_end|> </s> that", "\u3000So it ends. ")
LENGTHS = (40, 5, 20, 7)
"""Tokens of the answers, at most."""


def chat_model(family: Family, tokenizer: Tokenizer) -> Model:
    """Random weights; the third token of its first greedy answer or a later one ends the answer, if one can."""
    config = replace(
        BASE,
        vocab_size=tokenizer.vocab_size,
        context=CONTEXT,
        tied_head=False,
        chat_template=family.template,
    )
    model = random_model(config, seed=5)
    plan = derive(family.template, tokenizer)
    if plan.end is None or model.head is None:
        return model
    first = plan.turn(tokenizer, TALK[0], first=True)
    reference = Reference(quantize(model, CONTEXT))
    answer: list[int] = []
    while len(answer) < 3 or answer[-1] in answer[:-1]:
        answer.append(int(np.argmax(reference.forward(answer[-1:] or first)[-1])))
        assert len(answer) < 40
    head = model.head.copy()
    head[[plan.end, answer[-1]]] = head[[answer[-1], plan.end]]
    return replace(model, head=head)


@dataclass(frozen=True)
class Chatty:
    """A program with a chat template, and the plan that it should follow."""

    built: Built
    plan: ChatPlan

    def conversation(self, said: tuple[str, ...], lengths: tuple[int, ...]) -> tuple[list[list[int]], list[list[int]]]:
        """Tokens of the turns and of the greedy answers, by the plan, the reference and the sampler."""
        reference, sampler = Reference(self.built.model), Sampler(GREEDY, 1)
        turns, answers, held = [], [], []
        for text, length in zip(said, lengths, strict=True):
            turn = self.plan.turn(self.built.tokenizer, text, not held, held[-1] if held else None)
            unread = held[-1:] + turn if answers else turn
            answer: list[int] = []
            while not answer or (len(answer) < length and answer[-1] not in self.built.tokenizer.stop_ids):
                answer.append(sampler.sample(reference.forward(unread)[-1], ()))
                unread = answer[-1:]
            turns.append(turn)
            answers.append(answer)
            held += turn + answer
        return turns, answers


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Chatty]:
    """The program of a family, the first greedy answer of which ends early."""

    @cache
    def made(name: str) -> Chatty:
        family = FAMILIES[name]
        tokenizer = small_tokenizer(family)
        model = quantize(chat_model(family, tokenizer), CONTEXT)
        files = emit_project(model, tokenizer, load_board("host")).files
        built = Built(compile_program(files, tmp_path_factory.mktemp("chatty"), SANITIZED), model, tokenizer, files)
        return Chatty(built, derive(family.template, tokenizer))

    return made


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=[] if name in ("llama 3", "phi 3", "plain") else pytest.mark.sweep)
        for name in FAMILIES
    ],
)
def chatty(request: pytest.FixtureRequest, make: Callable[[str], Chatty]) -> Chatty:
    return make(request.param)


@pytest.fixture(scope="module")
def chatml(make: Callable[[str], Chatty]) -> Chatty:
    return make("chatml")


@pytest.fixture
def program(chatml: Chatty) -> Iterator[Program]:
    with Board(chatml.built.program) as board, board.connected() as stream:
        yield chat_program(Program(stream))


def chat_program(program: Program) -> Program:
    program.set(temperature=0)
    return program


def chat(program: Program, text: str, max_tokens: int = 20) -> Answer:
    return program.collect(program.send(protocol.Prompt(max_tokens, text, chat=True)))


def test_a_chat_on_the_board_has_the_tokens_of_the_plan(chatty: Chatty) -> None:
    turns, answers = chatty.conversation(TALK, LENGTHS)
    with Board(chatty.built.program) as board, board.connected() as stream:
        program = chat_program(Program(stream))
        assert program.facts.chat == 1
        digest = 0
        for text, length, turn, expected in zip(TALK, LENGTHS, turns, answers, strict=True):
            answer = chat(program, text, length)
            assert (answer.tokens, answer.done.prompt_tokens) == (expected, len(turn))
            digest = token_digest(turn + expected, digest)
            assert answer.done.conversation_digest == digest
    if chatty.plan.end is not None:
        assert answers[0][-1] == chatty.plan.end and len(answers[0]) < LENGTHS[0]


def test_replaying_turns_and_answers_gives_the_board_the_same_tokens(chatty: Chatty) -> None:
    turns, answers = chatty.conversation(TALK, LENGTHS)
    with Board(chatty.built.program) as board, board.connected() as stream:
        program = chat_program(Program(stream))
        for text, answer in zip(TALK[:-1], answers[:-1], strict=True):
            chat(program, text, 0)
            held = program.prompt(answer, 0)
        assert chat(program, TALK[-1], LENGTHS[-1]).tokens == answers[-1]
        tokens = [token for pair in zip(turns[:-1], answers[:-1], strict=True) for part in pair for token in part]
        assert held.done.conversation_digest == token_digest(tokens)


def template(user: str, answer: str = "A{{ m.content }}</s>", begin: str = "") -> str:
    """A template that writes every user text and answer like this."""
    turns = f"{{% if m.role == 'user' %}}{user}{{% else %}}{answer}{{% endif %}}"
    return f"{begin}{{% for m in messages %}}{turns}{{% endfor %}}{{% if add_generation_prompt %}}A{{% endif %}}"


LITERAL_TEXTS = Family(
    template("""*/ #error "??/ \\ {{ m.content }} /* %s\\n"""), ("<s>", "</s>"), "<s>", "</s>", "</s>"
)
"""Text on both sides of the user's, as it must not stand in C."""
STRIPPED = Family(template("<s> \n{{ m.content }} </s>", begin="<s>x"), ("<s>", "</s>"), "<s>", "</s>", "</s>")
BARE = Family(template("{{ m.content | trim }}"), ("<s>", "</s>"), "<s>", "</s>", "</s>")
TABLES = {
    **{name: (family, small_tokenizer(family)) for name, family in FAMILIES.items()},
    "literal texts": (LITERAL_TEXTS, small_tokenizer(LITERAL_TEXTS)),
    "tokens that strip both sides": (
        STRIPPED,
        replace(
            small_tokenizer(STRIPPED),
            strips=tuple((token, Strip(True, True)) for token in small_tokenizer(STRIPPED).control_ids.values()),
        ),
    ),
    "nothing before the first text, a space before every section": (
        BARE,
        replace(small_tokenizer(BARE), prefix_sections=True, prefix_unless_space=True),
    ),
}


@dataclass(frozen=True)
class Turns:
    """A plan, and its C compiled alone."""

    plan: ChatPlan
    tokenizer: Tokenizer
    library: CLibrary

    def turn(self, text: bytes, first: bool, last_token: int, capacity: int = 4 * TEXT_MAX) -> list[int] | None:
        """None if it is too long; what lies behind the capacity must stay as it was."""
        tokens = self.library.ffi.new("tl_token_t[]", [0xABCD] * (capacity + 8))
        count = self.library.lib.tl_chat_turn(text, len(text), first, last_token, tokens, capacity)
        assert list(tokens[capacity : capacity + 8]) == [0xABCD] * 8
        return None if count == TOO_LONG else list(tokens[0:count])


def tables(name: str) -> dict[str, str]:
    family, tokenizer = TABLES[name]
    config = replace(BASE, vocab_size=tokenizer.vocab_size, context=4 * TEXT_MAX, chat_template=family.template)
    return text_files(tokenizer) | chat_files(config, tokenizer, TEXT_MAX)


@pytest.fixture(scope="module", params=TABLES)
def turns(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Turns:
    family, tokenizer = TABLES[request.param]
    sources = ["vocabulary.c", "chat_template.c", ENGINE / "chat.c", *TEXT_SOURCES]
    declarations = """
        typedef uint16_t tl_token_t;
        uint32_t tl_chat_turn(const uint8_t *text, uint32_t n_bytes, bool first, uint32_t last_token,
                              tl_token_t *tokens, uint32_t capacity);
    """
    library = load_c(tmp_path_factory.mktemp("turns"), tables(request.param), sources, declarations)
    return Turns(derive(family.template, tokenizer), tokenizer, library)


SPACES = st.sampled_from([b" ", b"\n", b"\t", b"\x1f", b"\xc2\x85", b"\xc2\xa0", b"\xe3\x80\x80", b"\xe2\x80\x83"])
NAMES = st.sampled_from([name.encode() for family in FAMILIES.values() for name in family.controls])
TEXTS = (
    st.lists(SPACES | NAMES | st.binary(max_size=9) | st.text(max_size=9).map(str.encode))
    .map(b"".join)
    .filter(lambda text: len(text) <= TEXT_MAX // 2)
)


@settings(max_examples=30)
@given(text=TEXTS, first=st.booleans(), ended=st.booleans())
def test_any_text_becomes_the_same_turn_in_c_and_in_python(turns: Turns, text: bytes, first: bool, ended: bool) -> None:
    last = turns.plan.end if ended and turns.plan.end is not None else NO_TOKEN
    expected = turns.plan.turn(turns.tokenizer, text, first, last)
    assert turns.turn(text, first, last, len(expected)) == expected
    if expected:
        assert turns.turn(text, first, last, len(expected) - 1) is None


@pytest.mark.parametrize("first", [True, False])
def test_the_longest_text_becomes_a_turn_and_one_byte_more_is_refused(turns: Turns, first: bool) -> None:
    lead = turns.plan.first if first else turns.plan.following
    room = TEXT_MAX - len(lead.text) - len(turns.plan.after.text)
    for end in (b"x", "日".encode()):
        text = b"y" * (room - len(end)) + end
        assert turns.turn(text, first, NO_TOKEN) == turns.plan.turn(turns.tokenizer, text, first, NO_TOKEN)
        assert turns.turn(text + b"x", first, NO_TOKEN) is None
    assert turns.turn(b"y" * (TEXT_MAX + 1), first, NO_TOKEN) is None


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_gcc_and_clang_have_nothing_to_say_about_the_c(tmp_path: Path, compiler: str) -> None:
    if shutil.which(compiler) is None:
        skip_unless_ci(f"no {compiler} on PATH")
    for name in ("literal texts", "chatml"):
        for source in ("chat_template.c", ENGINE / "chat.c"):
            compile_c(tmp_path, tables(name), [source], "-std=c99", "-O2", compiler=compiler)


def test_the_headers_serve_cpp_too(tmp_path: Path) -> None:
    files = tables("literal texts") | {"headers.cpp": '#include "chat.h"\nint main() { return TL_CHAT - 1; }\n'}
    compile_c(tmp_path, files, ["headers.cpp"], "-std=c++17", "-fsyntax-only", compiler="c++")


def test_what_a_template_writes_stands_in_c_as_printable_ascii_only() -> None:
    for name in TABLES:
        text = tables(name)["chat_template.c"]
        assert all(line.isascii() and (line.isprintable() or not line) for line in text.splitlines())
        assert "??" not in text and not any(line.endswith("\\") for line in text.splitlines())


def test_a_turn_that_is_too_long_changes_nothing(chatml: Chatty, program: Program) -> None:
    before = chat(program, "Hello", 4).done.conversation_digest
    room = chatml.built.text_max - len(chatml.plan.following.text) - len(chatml.plan.after.text)
    for text in ("x" * (chatml.built.text_max + 1), "x" * (room + 1), "x" * room):
        with pytest.raises(Refused) as caught:
            chat(program, text)
        assert caught.value.code is ErrorCode.TOO_LONG
    facts = program.hello()
    assert facts.conversation_digest == before
    turns, answers = chatml.conversation(("Hello", "Go on"), (4, 4))
    again = chat(program, "Go on", 4)
    assert again.tokens == answers[1]
    assert again.done.conversation_digest == token_digest(turns[0] + answers[0] + turns[1] + answers[1])


def test_a_prompt_as_it_is_and_a_turn_of_a_chat_share_one_conversation(chatml: Chatty, program: Program) -> None:
    raw = program.prompt("Once", 3)
    turn = chatml.plan.turn(chatml.built.tokenizer, "Hi", False, raw.tokens[-1])
    answer = chat(program, "Hi", 3)
    assert answer.done.prompt_tokens == len(turn)
    said = encode(chatml.built.tokenizer, "Once", bos=True) + raw.tokens + turn + answer.tokens
    assert answer.done.conversation_digest == token_digest(said)


def test_a_board_without_a_template_says_so_and_refuses_turns_of_a_chat(chatml: Chatty, tmp_path: Path) -> None:
    model = replace(chatml.built.model, config=replace(chatml.built.model.config, chat_template=None))
    files = emit_project(model, chatml.built.tokenizer, load_board("host")).files
    assert "src/chat_template.c" not in files
    with Board(compile_program(files, tmp_path, SANITIZED)) as board, board.connected() as stream:
        person = Person(stream)
        person.interrupt()
        assert "/chat" not in person.enter("/help") and "chat" not in person.enter("/stats")
        assert person.enter("/chat on") == "no such command, /help lists them"
        program = chat_program(Program(stream))
        assert program.facts.chat == 0
        with pytest.raises(Refused) as caught:
            chat(program, "Hello")
        assert caught.value.code is ErrorCode.BAD_REQUEST
        assert program.hello().context_used == 0


def test_a_person_types_turns_of_a_chat_until_switching_them_off(chatml: Chatty) -> None:
    turns, answers = chatml.conversation(("Hello", "Go on"), (4, 4))
    plain = encode(chatml.built.tokenizer, "Hello", bos=True)
    with Board(chatml.built.program) as board, board.connected() as stream:
        person = Person(stream)
        person.interrupt()
        assert "/chat  on or off" in person.enter("/help")
        assert person.enter("/chat") == "chat on"
        assert person.enter("/chat maybe") == "chat: expected on or off"
        person.enter("/max 4")
        person.enter("/temp 0")
        person.type("Hello\rGo on\r")
        person.until(Person.READY)
        person.until(Person.READY)
        stats = person.enter("/stats")
        assert "chat on\n" in stats and f"last prompt {len(turns[1])} tokens" in stats
        program = Program(stream)
        said = turns[0] + answers[0] + turns[1] + answers[1]
        assert program.facts.conversation_digest == token_digest(said)
        program.ask(protocol.Bye(), protocol.Ok)
        person.enter("/reset")
        assert person.enter("/chat off") == "chat off"
        person.enter("Hello")
        assert f"last prompt {len(plain)} tokens" in person.enter("/stats")
        assert person.enter("/chat on") == "chat on"


def test_a_template_that_does_not_fit_the_board_stays_on_the_host(chatml: Chatty) -> None:
    config = replace(chatml.built.model.config, context=40)
    files = emit_project(replace(chatml.built.model, config=config), chatml.built.tokenizer, load_board("host")).files
    assert "#define TL_CHAT 0" in files["src/chat_template.h"]
    with pytest.raises(Unsuited, match="no room in a context of 40 tokens"):
        board_plan(config, chatml.built.tokenizer, 512)
