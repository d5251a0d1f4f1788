"""`tinyllm library`: the model in somebody's own sketch gives the reference's tokens, wherever a sketch is compiled."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cffi
import pytest
from platformio.package.manifest.parser import ManifestParserFactory
from platformio.package.manifest.schema import ManifestSchema

from tests.conftest import STORY_MODEL, skip_unless_ci
from tests.pipeline.c_library import compile_and_link
from tests.pipeline.conftest import nearest
from tests.pipeline.real_boards import ARDUINO_STUB, CROSS, compile_to
from tests.unit import call_models
from tinyllm.boards.description import FIRMWARE, load_board
from tinyllm.codegen.actions.plan import CallReader, actions_of, result_tokens
from tinyllm.codegen.arithmetic.float_model import N_SINKS
from tinyllm.codegen.arithmetic.integer_forward import Reference
from tinyllm.codegen.arithmetic.integer_model import IntegerModel
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.arithmetic.sampler import Sampler
from tinyllm.codegen.emit.chat_template import board_plan
from tinyllm.codegen.emit.library import emit_library, library_board
from tinyllm.codegen.emit.project import Project
from tinyllm.codegen.emit.write import write_project
from tinyllm.codegen.memory.plan import memory_needs
from tinyllm.codegen.memory.stack import FLAG, LIBRARY_ENTRIES, LIBRARY_STACK, stack_depth
from tinyllm.codegen.tokenizers import Tokenizer
from tinyllm.codegen.tokenizers.encode.encoder import decode, encode
from tinyllm.host.build import platformio
from tinyllm.host.build.library import library
from tinyllm.host.cli import app as cli
from tinyllm.host.link.messages import token_digest
from tinyllm.host.model.calibrate import integers_of
from tinyllm.host.model.load import LoadOptions, load_model
from tinyllm.host.prove.expected_answers import GREEDY

ROOT = Path(__file__).resolve().parents[2]
MOST = 60
HELLO, COMMAND = "Hello! Who are you?", "Turn on the light in the kitchen, please."
EXAMPLES = ("Actions", "AskOnce", "Chat", "Conversations")
STRICT = ("-Wall", "-Wextra", "-Wconversion", "-Werror", "-fno-exceptions", "-fno-rtti")
DECLARATIONS = """
bool tinyllm_begin(void);
bool tinyllm_ask(const char *text, void (*piece)(const char *piece));
bool tinyllm_start(const char *text, void (*piece)(const char *piece));
bool tinyllm_step(void);
bool tinyllm_busy(void);
void tinyllm_stop(void);
void tinyllm_forget(void);
const char *tinyllm_error(void);
bool tinyllm_set(int setting, uint32_t value);
bool tinyllm_use(void *conversation);
bool tinyllm_action(const char *name, bool (*handler)(const void *call, void *result));
void tinyllm_say(void *result, const char *text);
uint32_t tl_session_digest(void);
uint32_t tl_session_tokens(uint16_t *tokens);
"""
TEMPERATURE, SEED, MAX_TOKENS = 1, 6, 7


@dataclass(frozen=True)
class Made:
    """A library on this computer: its folder, its objects, and what it was made of."""

    folder: Path
    objects: Path
    model: IntegerModel
    tokenizer: Tokenizer
    project: Project

    def sketch(self, source: Path, folder: Path, core: str = "ARDUINO_ARCH_RP2040", port: Path | None = None) -> Path:
        """A sketch with the library, as a program of this computer. port: of the library, for the second core."""
        if shutil.which("g++") is None:
            skip_unless_ci("no g++ on PATH")
        objects = []
        for each in (source, ARDUINO_STUB / "sketch.cpp", ARDUINO_STUB / "cores.cpp", *([port] if port else [])):
            objects.append(folder / f"{each.stem}.o")
            flags = [*sketch_flags(self.folder, core), f"-I{self.folder / 'src/TinyLLM'}"]
            compile_to(["g++", "-x", "c++", *flags, "-c", str(each), "-o", str(objects[-1])])
        program = folder / source.stem
        every = map(str, [*objects, *self.objects.glob("*.o")])
        compile_to(["g++", "-pthread", *every, "-o", str(program)])
        return program

    def answers(self, *said: str, result: str = "ok") -> list[list[int]]:
        """What the numpy reference answers to the turns of one conversation, a call's result and all."""
        chat = board_plan(self.model.config, self.tokenizer, self.project.needs.plan.text_max)
        plan = actions_of(self.model.config.actions, self.tokenizer)
        assert plan is not None
        reference, sampler, reader = Reference(self.model), Sampler(GREEDY, 1), CallReader(plan)
        sampled: list[int] = []
        answers: list[list[int]] = []
        for text in said:
            if chat is None:
                to_read = encode(self.tokenizer, text, bos=not answers)
            else:
                to_read = chat.turn(self.tokenizer, text, not answers, sampled[-1] if sampled else None)
            reader.leave()
            answer: list[int] = []
            while len(answer) < MOST and (not answer or answer[-1] not in self.tokenizer.stop_ids):
                for token in to_read:
                    reader.read(token)
                logits = reference.forward([*sampled, *to_read])[-1]
                sampled = [sampler.sample(logits, (), reader.handicaps())]
                answer += sampled
                to_read = result_tokens(plan, self.tokenizer, result) if reader.read(sampled[0]) is not None else []
            answers.append(answer)
        return answers

    def text(self, answer: list[int]) -> str:
        """What a reader of an answer is given: no calls."""
        plan = actions_of(self.model.config.actions, self.tokenizer)
        assert plan is not None
        shown, inside = [], False
        for token in answer:
            inside = token == plan.call or (inside and token != plan.end_call)
            if not inside and token not in (plan.end_call, *self.tokenizer.stop_ids):
                shown.append(token)
        return decode(self.tokenizer, shown).decode("utf-8", "replace")


def sketch_flags(folder: Path, core: str) -> list[str]:
    return ["-std=gnu++11", *STRICT, f"-D{core}", f"-I{folder / 'src'}", f"-I{ARDUINO_STUB}", "-include", "Arduino.h"]


def sources_of(folder: Path) -> list[Path]:
    return sorted((folder / "src").rglob("*.c"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The bundled chat model, for any board: a chat template and calls."""
    loaded = load_model("chat", LoadOptions())
    folder, objects = tmp_path_factory.mktemp("library") / "TinyLLM", tmp_path_factory.mktemp("objects")
    project = library(loaded)
    write_project(project, folder)
    command = ["cc", "-std=c99", "-O1", "-fPIC", "-Wall", "-Wextra", "-Werror", f"-I{folder / 'src'}"]
    compile_and_link(command, [str(path) for path in sources_of(folder)], objects)
    return Made(folder, objects, integers_of(loaded, loaded.context), loaded.tokenizer, project)


@dataclass(frozen=True)
class InC:
    """The C functions of the library, called from here."""

    c: Any
    ffi: cffi.FFI

    def __post_init__(self) -> None:
        assert self.c.tinyllm_begin()
        assert self.c.tinyllm_set(TEMPERATURE, 0) and self.c.tinyllm_set(MAX_TOKENS, MOST)

    def ask(self, text: str) -> str:
        pieces: list[str] = []
        reader = self.ffi.callback("void(const char *)", lambda piece: pieces.append(self.ffi.string(piece).decode()))
        assert self.c.tinyllm_ask(text.encode(), reader), self.error()
        return "".join(pieces)

    def error(self) -> str:
        return self.ffi.string(self.c.tinyllm_error()).decode()  # type: ignore[no-any-return]


@pytest.fixture
def shared(made: Made, tmp_path: Path) -> Callable[[], InC]:
    """A copy of the library in C, as begun."""

    def loaded() -> InC:
        path = tmp_path / f"library{len(list(tmp_path.iterdir()))}.so"
        subprocess.run(["cc", "-shared", *made.objects.glob("*.o"), "-o", path], check=True)
        ffi = cffi.FFI()
        ffi.cdef(DECLARATIONS)
        return InC(ffi.dlopen(str(path)), ffi)

    return loaded


def run(program: Path, typed: str = "") -> str:
    done = subprocess.run([program], input=typed, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.replace("\r\n", "\n")


# --- The tokens ---


def test_a_sketch_prints_what_the_reference_answers(made: Made, tmp_path: Path) -> None:
    program = made.sketch(made.folder / "examples/AskOnce/AskOnce.ino", tmp_path)
    assert f'llm.ask("{HELLO}", print)' in (made.folder / "examples/AskOnce/AskOnce.ino").read_text()
    assert run(program) == made.text(made.answers(HELLO)[0]) + "\n"


def test_the_tokens_are_the_references_bit_for_bit_over_several_turns(made: Made, shared: Callable[[], InC]) -> None:
    model = shared()
    texts = (HELLO, "My name is Ada", "What is my name?")
    said = [model.ask(text) for text in texts]
    answers = made.answers(*texts)
    assert said == [made.text(answer) for answer in answers]
    assert said[0] != said[2] and all(said)


def test_the_digest_of_all_tokens_is_the_references(made: Made, shared: Callable[[], InC]) -> None:
    model = shared()
    model.ask(HELLO)
    chat = board_plan(made.model.config, made.tokenizer, made.project.needs.plan.text_max)
    assert chat is not None
    tokens = [*chat.turn(made.tokenizer, HELLO, True), *made.answers(HELLO)[0]]
    assert model.c.tl_session_digest() == token_digest(tokens)


def test_a_call_is_carried_out_and_the_answer_goes_on_as_the_references(made: Made, tmp_path: Path) -> None:
    program = made.sketch(made.folder / "examples/Actions/Actions.ino", tmp_path)
    assert run(program) == f'[light.set(room="kitchen", on=true)]{made.text(made.answers(COMMAND)[0])}\n'


def test_a_chat_that_never_waits_gives_the_same_answer(made: Made, shared: Callable[[], InC]) -> None:
    model = shared()
    pieces: list[str] = []
    reader = model.ffi.callback("void(const char *)", lambda piece: pieces.append(model.ffi.string(piece).decode()))
    assert not model.c.tinyllm_step() and not model.c.tinyllm_busy()
    assert model.c.tinyllm_start(HELLO.encode(), reader)
    assert not model.c.tinyllm_start(HELLO.encode(), reader)
    assert model.error() == "an answer is under way"
    steps = 1
    while model.c.tinyllm_step():
        assert model.c.tinyllm_busy()
        steps += 1
    assert steps > len(made.answers(HELLO)[0])
    assert "".join(pieces) == made.text(made.answers(HELLO)[0])


def test_what_is_typed_is_answered_line_by_line(made: Made, tmp_path: Path) -> None:
    program = made.sketch(made.folder / "examples/Chat/Chat.ino", tmp_path, "ARDUINO_ARCH_ESP32")
    answers = run(program, f"{HELLO}\n{'x' * 300}\n").splitlines()
    assert len(answers) >= 2 and all(answers[:2])
    assert run(program, f"\r\n\n{HELLO}\r\n\r\n") == run(program, f"{HELLO}\n"), "whatever ends a line"


# --- Conversations by turn ---


def test_conversations_by_turn_are_as_if_each_had_never_been_left(made: Made, shared: Callable[[], InC]) -> None:
    model = shared()
    ada, ben = (model.ffi.new("char[]", made_bytes(made)) for _ in range(2))
    said: dict[str, list[str]] = {"ada": [], "ben": []}
    turns = {
        "ada": ("My name is Ada", COMMAND, "What is my name?"),
        "ben": ("My name is Ben", HELLO, "What is my name?"),
    }
    for at in range(3):
        for name, conversation in (("ada", ada), ("ben", ben)):
            assert model.c.tinyllm_use(conversation), model.error()
            said[name].append(model.ask(turns[name][at]))
    result = "error: no handler"
    for name in turns:
        assert said[name] == [made.text(answer) for answer in made.answers(*turns[name], result=result)]


def test_the_random_numbers_of_a_conversation_are_its_own(made: Made, shared: Callable[[], InC]) -> None:
    def talk(by_turn: bool) -> list[str]:
        model = shared()
        assert model.c.tinyllm_set(TEMPERATURE, 65536) and model.c.tinyllm_set(SEED, 5)
        one, other = (model.ffi.new("char[]", made_bytes(made)) for _ in range(2))
        said = []
        for text in (HELLO, "What can you do?", "Who was Napoleon?"):
            assert model.c.tinyllm_use(one)
            said.append(model.ask(text))
            if by_turn:
                assert model.c.tinyllm_use(other)
                model.ask("Hello there!")
        return said

    assert talk(by_turn=True) == talk(by_turn=False)


def test_a_conversation_beyond_the_context_keeps_its_beginning_and_its_newest_tokens(
    made: Made, shared: Callable[[], InC]
) -> None:
    model, context = shared(), made.model.config.context
    kept = model.ffi.new("uint16_t[]", context)
    before: list[int] = []
    after: list[int] = []
    while len(after) < context:
        before = after
        model.ask(HELLO)
        after = list(kept[0 : model.c.tl_session_tokens(kept)])
        assert len(after) == context or after[: len(before)] == before
    assert after[:N_SINKS] == before[:N_SINKS]
    held = context - N_SINKS
    joined = next(n for n in range(held, 0, -1) if before[-n:] == after[N_SINKS : N_SINKS + n])
    assert decode(made.tokenizer, after[N_SINKS + joined :]).decode().count(HELLO) == 1
    one, other = (model.ffi.new("char[]", made_bytes(made)) for _ in range(2))
    assert model.c.tinyllm_use(one) and model.ask(HELLO)
    for _ in range(context // 16):
        model.ask(HELLO)
    assert model.c.tinyllm_use(other) and model.c.tinyllm_use(one)
    assert model.ask(HELLO)


def made_bytes(made: Made) -> int:
    """Of a conversation, as the header says them."""
    said = re.search(r"has its turn: ([\d,]+) bytes each", made.project.files["src/TinyLLM.h"])
    assert said
    return int(said.group(1).replace(",", ""))


def test_a_conversation_is_as_large_as_the_header_says(made: Made, tmp_path: Path) -> None:
    source = tmp_path / "size.cpp"
    source.write_text(
        f'#include <TinyLLM.h>\nstatic_assert(sizeof(TinyLLM::Conversation) == {made_bytes(made)}u, "");\n'
    )
    compile_to(["g++", *sketch_flags(made.folder, "ARDUINO_ARCH_ESP32"), "-c", str(source), "-o", str(tmp_path / "o")])


# --- What goes wrong ---


def test_a_call_in_the_wrong_order_or_out_of_range_says_why(made: Made, shared: Callable[[], InC]) -> None:
    model = shared()
    nobody = model.ffi.NULL
    assert not model.c.tinyllm_set(TEMPERATURE, 2**32 - 1)
    assert model.error() == "unknown or out of range"
    assert not model.c.tinyllm_set(99, 0)
    assert not model.c.tinyllm_ask(b"word " * 4000, nobody)
    assert model.error().startswith("the prompt is too long")
    assert model.c.tinyllm_ask(HELLO.encode(), nobody) and model.error() == ""
    assert not model.c.tinyllm_action(b"no.such", model.ffi.NULL)


def test_nothing_is_done_before_begin(made: Made, tmp_path: Path) -> None:
    source = tmp_path / "early.ino"
    source.write_text(
        "#include <TinyLLM.h>\nTinyLLM llm;\nvoid loop() {}\nvoid setup() {\n"
        '    if (!llm.ask("x", nullptr) && !llm.temperature(0)) Serial.println(llm.error());\n}\n'
    )
    assert run(made.sketch(source, tmp_path)) == "begin comes first\n"


def test_a_reader_may_stop_the_answer_but_not_ask_again(shared: Callable[[], InC]) -> None:
    model = shared()
    again: list[bool] = []

    def read(piece: Any) -> None:
        again.append(model.c.tinyllm_ask(HELLO.encode(), model.ffi.NULL) or model.c.tinyllm_step())
        model.c.tinyllm_stop()

    assert model.c.tinyllm_ask(HELLO.encode(), model.ffi.callback("void(const char *)", read))
    assert again == [False]


# --- Every compiler ---


@pytest.fixture(scope="module")
def for_boards() -> Callable[[str], Project]:
    """The library of a small model that makes calls, with matrices of either width, for a board."""
    floats, tokenizer = call_models.call_model(), call_models.tokenizer()
    model = quantize(floats, 96, nearest(floats))

    def emitted(name: str) -> Project:
        board = library_board(load_board(name))
        return emit_library(model, tokenizer, board, memory_needs(model, tokenizer, board))

    return emitted


@pytest.fixture(scope="module")
def two_cores(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The library of a small model for a Pico 2 whose cores both compute."""
    model, tokenizer = quantize(call_models.call_model(), 96), call_models.tokenizer()
    board = library_board(load_board("pico2"), 2)
    project = emit_library(model, tokenizer, board, memory_needs(model, tokenizer, board))
    folder, objects = tmp_path_factory.mktemp("two") / "TinyLLM", tmp_path_factory.mktemp("objects")
    write_project(project, folder)
    command = ["cc", "-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", f"-I{folder / 'src'}"]
    compile_and_link(command, [str(path) for path in sources_of(folder)], objects)
    return Made(folder, objects, model, tokenizer, project)


BOARDS = {"pico": "rp2040", "pico2": "rp2350", "esp32s3": "esp32s3", "esp32c3": "esp32c3"}
"""With a compiler each, and the chip that it compiles for."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in ("pico2", "esp32s3") else pytest.mark.sweep) for name in BOARDS]
)
def test_it_compiles_for_a_board_without_a_warning_and_takes_what_the_header_says(
    name: str, for_boards: Callable[[str], Project], tmp_path: Path
) -> None:
    project, cross = for_boards(name), CROSS[BOARDS[name]]
    write_project(project, tmp_path / "TinyLLM")
    graphs = tmp_path / "objects"
    graphs.mkdir()
    folder = Path("../TinyLLM/src")
    command = [*cross.tool("gcc"), "-std=gnu99", "-O2", "-Wall", "-Wextra", "-Werror", FLAG, "-I", str(folder), "-c"]
    sources = [str(folder / path.relative_to(tmp_path / "TinyLLM/src")) for path in sources_of(tmp_path / "TinyLLM")]
    done = subprocess.run([*command, *sources], cwd=graphs, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert stack_depth(graphs, LIBRARY_ENTRIES).bytes <= LIBRARY_STACK
    size = subprocess.run(
        [f"{cross.prefix}size", "-t", *graphs.glob("*.o")], capture_output=True, text=True, check=True
    )
    text, data, bss = (int(field) for field in size.stdout.splitlines()[-1].split()[:3])
    total = project.needs.total
    assert text + data <= total.flash and data + bss <= total.ram
    header = project.files["src/TinyLLM.h"]
    for word, figure in (("FLASH", total.flash), ("RAM", total.ram), ("STACK", LIBRARY_STACK)):
        assert f"#define TINYLLM_{word}_BYTES {figure}u\n" in header


@pytest.mark.parametrize("name", BOARDS)
def test_every_example_compiles_for_a_board(name: str, for_boards: Callable[[str], Project], tmp_path: Path) -> None:
    library, cross = tmp_path / "TinyLLM", CROSS[BOARDS[name]]
    write_project(for_boards(name), library)
    core = "ARDUINO_ARCH_RP2040" if name.startswith("pico") else "ARDUINO_ARCH_ESP32"
    command = [*cross.tool("g++"), "-x", "c++", *sketch_flags(library, core)]
    for example in EXAMPLES:
        sketch = library / f"examples/{example}/{example}.ino"
        compile_to([*command, "-c", str(sketch), "-o", str(tmp_path / "sketch.o")])
    plain = [*cross.tool("gcc"), "-std=c99", "-Wall", "-Wextra", "-Werror", "-I", str(library / "src")]
    compile_to([*plain, "-c", str(library / "examples/PlainC/PlainC.c"), "-o", str(tmp_path / "plain.o")])


def test_the_examples_are_all_there_and_compile_as_newer_cores_do(made: Made, tmp_path: Path) -> None:
    found = sorted(path.stem for path in (made.folder / "examples").rglob("*.ino"))
    assert found == sorted(EXAMPLES)
    flags = ["-std=gnu++17", *sketch_flags(made.folder, "ARDUINO_ARCH_ESP32")[1:]]
    for name in found:
        sketch = made.folder / f"examples/{name}/{name}.ino"
        compile_to(["g++", "-x", "c++", *flags, "-c", str(sketch), "-o", str(tmp_path / "sketch.o")])


@pytest.mark.parametrize("core", ["ARDUINO_ARCH_ESP32", "ARDUINO_ARCH_RP2040"])
def test_with_both_cores_the_tokens_are_the_references(core: str, two_cores: Made, tmp_path: Path) -> None:
    """The second core is a thread that starts late: the first answer is computed without it."""
    source = tmp_path / "both.ino"
    source.write_text(
        "#include <TinyLLM.h>\n#include <unistd.h>\nTinyLLM llm;\nvoid loop() {}\nvoid setup() {\n"
        "    llm.begin();\n    llm.temperature(0);\n    llm.maxTokens(60);\n    for (int i = 0; i < 3; i++) {\n"
        '        llm.forget();\n        llm.ask("Once upon a time", [](const char *piece) { Serial.print(piece); });\n'
        "        usleep(100000);\n    }\n}\n"
    )
    program = two_cores.sketch(source, tmp_path, core, two_cores.folder / "src/TinyLLM/second_core.cpp")
    done = subprocess.run([program], capture_output=True, text=True, timeout=60, check=True)
    answer = two_cores.text(two_cores.answers("Once upon a time", result="error: no handler")[0])
    assert done.stdout == 3 * answer.replace("\0", "")
    assert "second core" in done.stderr


# --- Names ---


def test_no_name_of_it_can_clash_with_one_of_a_sketch(made: Made, tmp_path: Path) -> None:
    assert sorted(path.name for path in (made.folder / "src").iterdir()) == ["TinyLLM", "TinyLLM.h"]
    listed = subprocess.run(
        ["nm", "-g", "--defined-only", *made.objects.glob("*.o")], capture_output=True, text=True, check=True
    )
    symbols = {fields[2] for line in listed.stdout.splitlines() if len(fields := line.split()) == 3}
    assert symbols and {name for name in symbols if not name.startswith(("tl_", "tinyllm_"))} == set()
    source = tmp_path / "empty.h"
    source.write_text("#include <stdbool.h>\n#include <stdint.h>\n")
    macros = [
        set(
            re.findall(
                r"^#define (\w+)",
                subprocess.run(
                    ["gcc", "-dM", "-E", "-I", made.folder / "src", file], capture_output=True, text=True, check=True
                ).stdout,
                re.MULTILINE,
            )
        )
        for file in (source, made.folder / "src/TinyLLM.h")
    ]
    assert {name for name in macros[1] - macros[0] if not name.startswith(("TL_", "TINYLLM_"))} <= {"tl_call_sample"}


def test_it_neither_has_nor_asks_for_a_console_a_port_a_second_core_or_memory(made: Made) -> None:
    listed = subprocess.run(["nm", *made.objects.glob("*.o")], capture_output=True, text=True, check=True)
    symbols = {line.split()[-1] for line in listed.stdout.splitlines() if line.strip()}
    assert {"tinyllm_ask", "tl_session_step"} <= symbols
    unwanted = {"setup", "loop", "setup1", "main", "tl_console_poll", "tl_port_write", "tl_second_core_start"}
    assert symbols & (unwanted | {"malloc", "calloc", "free", "printf"}) == set()


# --- What build systems read ---


def test_every_build_system_finds_what_it_needs(made: Made) -> None:
    about = json.loads((made.folder / "library.json").read_text())
    assert about["name"] == "TinyLLM" and re.fullmatch(r"\d+\.\d+\.\d+", about["version"])
    properties = dict(line.split("=", 1) for line in (made.folder / "library.properties").read_text().splitlines())
    assert (properties["name"], properties["version"]) == ("TinyLLM", about["version"])
    assert properties["includes"] == "TinyLLM.h" and properties["architectures"] == "*"
    assert f'version: "{about["version"]}"' in (made.folder / "idf_component.yml").read_text()
    listed = re.findall(r"^    (src/\S+\.c)$", (made.folder / "CMakeLists.txt").read_text(), re.MULTILINE)
    assert listed == [path.relative_to(made.folder).as_posix() for path in sources_of(made.folder)]


PLATFORMIO_INI = "[env:host]\nplatform = symlink://${PROJECT_DIR}/platform\nboard = host\n"
MAIN = """
#include <TinyLLM.h>
#include <stdio.h>
TinyLLM llm;
int main() {
    return llm.begin() && llm.temperature(0) && llm.ask("%s", [](const char *piece) { fputs(piece, stdout); }) ? 0 : 1;
}
"""


def test_platformio_reads_its_manifests_and_builds_it_as_a_library_of_a_project(made: Made, tmp_path: Path) -> None:
    for name in ("library.json", "library.properties"):
        read = ManifestParserFactory.new_from_file(str(made.folder / name)).as_dict()
        assert ManifestSchema().load_manifest(read)["headers"] == ["TinyLLM.h"]
    (tmp_path / "src").mkdir()
    (tmp_path / "src/main.cpp").write_text(MAIN % HELLO)
    (tmp_path / "platformio.ini").write_text(PLATFORMIO_INI)
    (tmp_path / "platform").symlink_to(FIRMWARE / "platform")
    shutil.copytree(made.folder, tmp_path / "lib/TinyLLM")
    assert run(platformio.run(tmp_path, "host").program) == made.text(made.answers(HELLO)[0])


def test_cmake_makes_it_a_library_of_another_project_or_a_component(made: Made, tmp_path: Path) -> None:
    if shutil.which("cmake") is None:
        skip_unless_ci("cmake is not installed")
    component = (
        "macro(idf_component_register)\n  set(COMPONENT_LIB component)\n"
        "  add_library(component STATIC ${ARGV1})\nendmacro()\n"
    )
    for name, first in (("plain", ""), ("idf", f"set(ESP_PLATFORM 1)\n{component}")):
        folder = tmp_path / name
        folder.mkdir()
        target = "component" if first else "tinyllm"
        (folder / "CMakeLists.txt").write_text(
            f"cmake_minimum_required(VERSION 3.16)\nproject(mine C)\n{first}add_subdirectory({made.folder} library)\n"
            f'get_target_property(options {target} COMPILE_OPTIONS)\nmessage(STATUS "options ${{options}}")\n'
        )
        command = ["cmake", "-S", folder, "-B", folder / "build"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert "options -O2" in done.stdout


# --- The verb ---


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    monkeypatch.chdir(tmp_path)
    return lambda *options: cli.run(["library", str(STORY_MODEL), *options])


def test_written_twice_it_is_the_same_and_an_edited_file_is_not_lost(
    verb: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert verb("-o", "TinyLLM") == 0
    files = {path: path.read_bytes() for path in (tmp_path / "TinyLLM").rglob("*") if path.is_file()}
    assert verb("-o", "TinyLLM") == 0
    assert files == {path: path.read_bytes() for path in (tmp_path / "TinyLLM").rglob("*") if path.is_file()}
    assert not (tmp_path / "TinyLLM/examples/Actions").exists(), "the model makes no calls"
    sketch = tmp_path / "TinyLLM/examples/AskOnce/AskOnce.ino"
    assert 'llm.ask("Once upon a time", print)' in sketch.read_text()
    sketch.write_text("mine")
    capsys.readouterr()
    assert verb("-o", "TinyLLM", "--context", "64") == 2
    assert "edited since tinyllm wrote" in capsys.readouterr().err
    assert sketch.read_text() == "mine"


def test_what_cannot_be_a_library_is_refused_and_nothing_is_written(
    verb: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").write_text("mine")
    for options, said in (
        (("-o", "full"), "full holds other files"),
        (("-o", "full/notes.txt"), "is a file"),
        (("-o", "new", "--board", "pico9"), "unknown board 'pico9'"),
        (("-o", "new", "--cores", "2"), "without --board the library is for any"),
        (("-o", "new", "--cores", "2", "--board", "esp32c3"), "esp32c3 has none for a sketch"),
        (("-o", "new", "--weights-in", "partition"), "a library has its weights in it"),
        ((), "Missing option '-o'"),
    ):
        assert verb(*options) == 2
        error = capsys.readouterr().err
        assert said in error and "Traceback" not in error
        assert not (tmp_path / "new").exists()
    assert cli.run(["library", "stories", "--board", "esp32", "--context", "512", "-o", "new"]) == 2
    assert re.search(r"does not fit esp32: it needs \d+ KB of RAM", capsys.readouterr().err)
    assert not (tmp_path / "new").exists()


def test_a_board_chooses_kernels_and_context_and_json_says_what_it_takes(
    verb: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert verb("-o", "TinyLLM", "--board", "pico2", "--kv-cache", "int4", "--json") == 0
    about = json.loads(capsys.readouterr().out)
    assert (about["board"], about["weights_in"], about["stack"]) == ("pico2", "program", LIBRARY_STACK)
    assert about["flash"] > 0 and about["ram"] > 0
    assert (tmp_path / "TinyLLM/src/TinyLLM/dsp.h").is_file(), "of the Cortex-M33's kernels"
    assert (tmp_path / "TinyLLM/src/TinyLLM/cache_int4.c").is_file()


# --- The walk-through ---


@pytest.mark.parametrize("page", ["README.md", "docs/library.md"])
def test_the_sketch_of_a_page_answers_as_the_page_says(page: str, made: Made, tmp_path: Path) -> None:
    blocks = re.findall(r"(?:^    .*\n|^\n(?=    ))+", (ROOT / page).read_text("utf-8"), re.MULTILINE)
    plain = ["\n".join(line[4:] for line in block.splitlines()).strip() for block in blocks]
    sketch = next(block for block in plain if block.startswith("#include <TinyLLM.h>"))
    shown = plain[plain.index(sketch) + 1]
    source = tmp_path / "mine.ino"
    source.write_text(sketch + "\n")
    assert run(made.sketch(source, tmp_path)).strip() == shown
