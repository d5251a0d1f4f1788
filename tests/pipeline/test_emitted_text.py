"""Whatever a model, its folder or its chat template is called or says, it stays inside its string or comment."""

from __future__ import annotations

import configparser
import json
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pipeline.conftest import BASE, random_model
from tinyllm.boards.description import load_board
from tinyllm.codegen.arithmetic.integer_model import IntegerModel
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.emit.chat_template import board_plan, chat_files
from tinyllm.codegen.emit.library import ANY_BOARD, emit_library
from tinyllm.codegen.emit.project import Project, emit_project
from tinyllm.codegen.emit.render import in_comment
from tinyllm.codegen.memory.plan import memory_needs
from tinyllm.codegen.tokenizers.tokenizer import Tokenizer
from tinyllm.text import harmless_name

PLAIN = "qzqzq"
"""A name that is nowhere in a library by chance."""
TRIGRAPHS = dict(zip("=/'()!<>-", "#\\^[]|{}~", strict=True))
PIECES_OF_CODE = [
    "*/",
    "/*",
    "//",
    '"',
    "\\",
    "\n",
    "\r",
    "??/",
    "#error",
    ";",
    "\n[env:x]",
    "\nflags = -DX",
    "${x}",
    "%",
]
HOSTILE = st.lists(
    st.sampled_from(PIECES_OF_CODE) | st.text(st.characters(codec=None, categories=None), max_size=6), max_size=8
).map("".join)


def code_and_strings(text: str) -> tuple[str, list[str]]:
    """C without its comments and what its strings hold, and those, as C99 5.1.1.2 takes a text apart."""
    text = re.sub(r"\?\?([=/'()!<>-])", lambda match: TRIGRAPHS[match[1]], text).replace("\\\n", "")
    strings = []

    def blank(match: re.Match[str]) -> str:
        if match[0].startswith("/"):
            return " "
        strings.append(match[0])
        return '""'

    code = re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', blank, text, flags=re.DOTALL)
    return code, strings


@pytest.fixture(scope="module")
def integers() -> IntegerModel:
    return quantize(random_model(BASE))


@pytest.fixture(scope="module")
def emitted(integers: IntegerModel, stories_tokenizer: Tokenizer) -> Callable[[str], Project]:
    """The project of a model of this name."""

    def emit(name: str) -> Project:
        named = replace(integers, config=replace(integers.config, name=name))
        return emit_project(named, stories_tokenizer, load_board("host"))

    return emit


@settings(deadline=None, max_examples=40)
@given(name=HOSTILE)
def test_any_model_name_changes_nothing_but_its_strings_and_comments(
    name: str, emitted: Callable[[str], Project]
) -> None:
    project = emitted(name)
    files, plain = project.files, emitted(BASE.name).files
    assert files.keys() == plain.keys()
    for path in [path for path in files if path.endswith((".c", ".h")) and files[path] != plain[path]]:
        code, strings = code_and_strings(files[path])
        without_id = r"(?m)^#define TL_BUILD_ID_BYTES .*$"
        assert re.sub(without_id, "", code) == re.sub(without_id, "", code_and_strings(plain[path])[0])
        assert strings == [
            f'"{harmless_name(name)}"' if string == f'"{BASE.name}"' else string
            for string in code_and_strings(plain[path])[1]
        ]
    assert settings_of(files["platformio.ini"]) == settings_of(plain["platformio.ini"])
    assert json.loads(project.manifest.text())["model"] == harmless_name(name)
    assert all(text.encode() for text in files.values())


@settings(deadline=None, max_examples=15)
@given(name=HOSTILE)
def test_any_model_name_is_a_harmless_one_in_every_file_of_a_library(
    name: str, integers: IntegerModel, stories_tokenizer: Tokenizer
) -> None:
    """C, sketches, CMake, YAML, Arduino's properties and Markdown."""

    def emit(name: str) -> dict[str, str]:
        named = replace(integers, config=replace(integers.config, name=name))
        return emit_library(named, stories_tokenizer, ANY_BOARD, needs).files

    needs, harmless = memory_needs(integers, stories_tokenizer, ANY_BOARD), harmless_name(name)
    assert not set(harmless) & set('"\\`$%<>{}|;:?*/\n\r\0')
    files, plain = emit(name), emit(PLAIN)
    assert files.keys() == plain.keys()
    for path, text in plain.items():
        if path.endswith(".yml"):
            (line,) = (line for line in files[path].splitlines() if line.startswith("description: "))
            assert json.loads(line.partition(" ")[2]).startswith(f"{harmless}, a language model")
            text = text.replace(next(line for line in text.splitlines() if PLAIN in line), line)
        assert files[path] == text.replace(PLAIN, harmless)


def settings_of(ini: str) -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(ini)
    return {section: dict(parser[section]) for section in parser.sections()}


@given(text=st.binary(max_size=60) | HOSTILE.map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_in_a_comment_are_within_it(text: bytes) -> None:
    code, strings = code_and_strings(f'1 /* "{in_comment(text)}" */ 2')
    assert (code, strings) == ("1   2", [])


def test_what_a_chat_template_says_is_bytes_and_a_comment(stories_tokenizer: Tokenizer, integers: IntegerModel) -> None:
    said = "".join(PIECES_OF_CODE) + "\u202e\x1bé"
    quoted = '"' + "".join(f"\\U{ord(character):08x}" for character in said) + '"'
    user = f"{{{{ {quoted} ~ m.content ~ {quoted} }}}}"
    turn = f"{{% if m.role == 'user' %}}{user}{{% else %}}A{{{{ m.content }}}}</s>{{% endif %}}"
    template = f"{{% for m in messages %}}{turn}{{% endfor %}}{{% if add_generation_prompt %}}A{{% endif %}}"
    config = replace(integers.config, chat_template=template, context=512)
    plan = board_plan(config, stories_tokenizer, 512)
    assert plan is not None and said.encode() in plan.first.text
    code, strings = code_and_strings(chat_files(config, stories_tokenizer, 512)["chat_template.c"])
    assert strings == ['"chat_template.h"']
    for name, part in (("first", plan.first), ("after", plan.after)):
        table = re.search(rf"{name}_text\[\] = \{{([0-9, \n]*)\}};", code)
        assert table is not None
        assert bytes(int(number) for number in table[1].replace(",", " ").split()) == (part.text or b"\0")
