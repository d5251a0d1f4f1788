"""Weights beside the program on boards: the Arduino port finds them, and virtual boards run from them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.pipeline.conftest import BASE, nearest, random_model
from tests.pipeline.console_board import Board, Person, Program, Refused
from tests.pipeline.real_boards import ARDUINO_STUB, CROSS, builds, compile_to, include
from tests.pipeline.test_real_boards import CAT, DIALECTS, FLAVOURS, ONCE, STRICT, build_desk
from tests.unit.tokenizer_forms import large_vocabulary
from tinyllm.boards.description import FOLDER, load_board
from tinyllm.codegen.arithmetic.float_model import Model, Rope
from tinyllm.codegen.arithmetic.integer_forward import Reference
from tinyllm.codegen.arithmetic.integer_model import IntegerModel
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.emit.project import Project, emit_project
from tinyllm.codegen.emit.write import write_project
from tinyllm.codegen.memory.fit import check_fits
from tinyllm.codegen.memory.plan import PARTITION, PROGRAM, memory_needs, room
from tinyllm.codegen.tokenizers import Tokenizer
from tinyllm.codegen.tokenizers.encode.encoder import encode
from tinyllm.codegen.trim import trim
from tinyllm.errors import Failure
from tinyllm.files import WEIGHTS
from tinyllm.host.api.board import Board as ApiBoard
from tinyllm.host.build.build import build, compile_project, emit
from tinyllm.host.connect.board_process import BoardProcess
from tinyllm.host.link.link import Link
from tinyllm.host.link.messages import Setting, WeightsState
from tinyllm.host.model.load import LoadedModel, load_model
from tinyllm.host.virtual.emulators import require_unicorn

CONTEXT = 64
ARDUINO = {"esp32s3-n16r8": "ESP32 with PSRAM and an addressable LED", "esp32": "ESP32 with an LED", "pico": "Pico"}


def greedy(model: IntegerModel, tokens: list[int], n: int) -> list[int]:
    reference, answer, unread = Reference(model), [], tokens
    while len(answer) < n:
        unread = [int(reference.forward(unread)[-1].argmax())]
        answer += unread
    return answer


def apart(model: IntegerModel, tokenizer: Tokenizer, board: str) -> Project:
    described = load_board(board, FOLDER)
    return emit_project(model, tokenizer, described, memory_needs(model, tokenizer, described, PARTITION))


# --- The Arduino port ---


@pytest.mark.parametrize("board", ARDUINO)
def test_the_port_compiles_for_the_chip_without_a_warning(
    board: str, stories_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    write_project(apart(quantize(random_model(BASE)), stories_tokenizer, board), tmp_path)
    tool = CROSS[load_board(board, FOLDER).chip].tool("g++")
    for dialect in DIALECTS:
        options = [dialect, *STRICT, *FLAVOURS[ARDUINO[board]], *include(tmp_path), f"-I{ARDUINO_STUB}"]
        source = str(tmp_path / "src/port/arduino.cpp")
        compile_to([*tool, *options, "-c", source, "-o", str(tmp_path / "port.o")])


@pytest.mark.parametrize("board", ["esp32s3-n16r8", pytest.param("esp32", marks=pytest.mark.sweep), "pico"])
def test_the_port_maps_the_weights_and_its_tokens_are_the_references(
    board: str, stories: Model, stories_tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the esp32s3-n16r8 matrices are copied from there to PSRAM."""
    model = quantize(stories, CONTEXT)
    project = apart(model, stories_tokenizer, board)
    assert bool(project.needs.placed.psram) == (board == "esp32s3-n16r8")
    write_project(project, tmp_path)
    folder = tmp_path / "built"
    folder.mkdir()
    program = build_desk(tmp_path, ARDUINO[board], folder)
    monkeypatch.setenv("TL_DESK_WEIGHTS", str(tmp_path / WEIGHTS))
    with Board(program) as running, running.connected() as stream:
        talk = Program(stream)
        assert (talk.facts.weights, talk.facts.model_hash) == (WeightsState.INTACT, project.manifest.model_hash)
        talk.set(temperature=0)
        assert talk.prompt(ONCE, 30).tokens == greedy(model, encode(stories_tokenizer, ONCE, bos=True), 30)


@pytest.mark.parametrize("size", [0, 5000])
def test_the_port_says_that_there_is_no_partition_or_too_small_a_one(
    size: int, stories_tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = apart(quantize(random_model(BASE)), stories_tokenizer, "esp32")
    assert project.weights is not None
    write_project(project, tmp_path)
    program = build_desk(tmp_path, ARDUINO["esp32"], tmp_path)
    if size:
        (tmp_path / "small").write_bytes(project.weights[:size])
        monkeypatch.setenv("TL_DESK_WEIGHTS", str(tmp_path / "small"))
    words = "end too early" if size else "there are no weights beside the program"
    with Board(program) as running, running.connected() as stream:
        assert words in Person(stream).enter("/text")
        with pytest.raises(Refused, match=words):
            Program(stream).prompt(CAT, 5)


# --- Virtual boards ---


TWINS = [each for each in builds(["pico2", "esp32"]) if load_board(each.id, FOLDER).virtual]
"""A board of each emulator; the others are a sweep."""


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return replace(load_model(None), context=CONTEXT, context_chosen=True, weights_in=PARTITION)


@pytest.mark.parametrize("name", TWINS)
def test_a_virtual_board_runs_from_the_image_at_its_address(name: str, loaded: LoadedModel) -> None:
    board = load_board(name, FOLDER).twin()
    if board.emulator == "unicorn":
        require_unicorn()
    CROSS[board.chip].tool("gcc")
    built = build(loaded, board)
    model = quantize(loaded.model, CONTEXT)
    with BoardProcess.of(board, built.program) as running, Link(running.url) as link:
        assert (link.hello.weights, link.hello.layout) == (WeightsState.INTACT, built.layout)
        assert link.hello.model_hash == built.model_hash == model.short_digest()
        link.set(Setting.TEMPERATURE, 0)
        tokens = [event.token for event in link.prompt(ONCE, 12) if hasattr(event, "token")]
    assert tokens == greedy(model, encode(loaded.tokenizer, ONCE, bos=True), 12)


@pytest.mark.parametrize("name", ["pico2", "esp32"])
@pytest.mark.parametrize("state", [WeightsState.MISSING, WeightsState.DAMAGED])
def test_a_virtual_board_without_its_weights_says_so(
    name: str, state: WeightsState, loaded: LoadedModel, tmp_path: Path
) -> None:
    board = load_board(name, FOLDER).twin()
    if board.emulator == "unicorn":
        require_unicorn()
    CROSS[board.chip].tool("gcc")
    built = build(loaded, board, folder=tmp_path / "project")
    beside = built.program.with_name(WEIGHTS)
    image = bytearray(beside.read_bytes())
    beside.unlink()
    if state is WeightsState.DAMAGED:
        image[5000] ^= 1
        beside.write_bytes(image)
    with BoardProcess.of(board, built.program) as running:
        with Link(running.url) as link:
            assert link.hello.weights == state
        with pytest.raises(Failure, match=rf"`tinyllm build MODEL -o FOLDER --virtual --board {name}` writes both"):
            ApiBoard.open(running.url)
    assert build(loaded, board, folder=tmp_path / "project").program == built.program
    assert beside.read_bytes() == (tmp_path / "project" / WEIGHTS).read_bytes()


def test_weights_that_are_missing_or_damaged_in_a_cached_build_are_written_again(
    loaded: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINYLLM_HOME", str(tmp_path))
    board = load_board("host", FOLDER)
    first = build(loaded, board)
    places = (first.program.with_name(WEIGHTS), first.project / WEIGHTS)
    whole = places[0].read_bytes()
    for damaged in (None, whole[:1000], b"", bytes(len(whole))):
        for place in places:
            place.unlink()
            if damaged is not None:
                place.write_bytes(damaged)
        assert build(loaded, board).program == first.program
        assert [place.read_bytes() for place in places] == [whole, whole]


# --- A model that fills the flash ---

LARGE = {"esp32s3-n16r8": 40, "rp2350-16mb": 96}
"""By board, the largest context that its twin, which has no PSRAM, has room for."""


@pytest.fixture(scope="module")
def large() -> LoadedModel:
    """Of stories15M's shape: 15 million parameters, 32,000 tokens."""
    tokenizer = large_vocabulary()
    config = replace(
        BASE,
        name="large",
        dim=288,
        hidden_dim=768,
        n_heads=6,
        n_kv_heads=6,
        head_dim=48,
        vocab_size=tokenizer.vocab_size,
        context=256,
        schedule=tuple(range(6)),
        rope=Rope(rotary_dim=48),
    )
    return LoadedModel(Path("large"), random_model(config), Path("large"), tokenizer, 256)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "rp2350-16mb" else pytest.mark.sweep) for name in LARGE]
)
def test_fifteen_million_parameters_run_bit_exact_on_a_board_with_16_mb(
    name: str, large: LoadedModel, tmp_path: Path
) -> None:
    board = load_board(name, FOLDER).twin()
    if board.emulator == "unicorn":
        require_unicorn()
    CROSS[board.chip].tool("gcc")
    told: list[str] = []
    project = emit(large, board, notice=told.append)
    assert project.manifest.weights_in == PARTITION
    assert project.weights is not None and len(project.weights) == 15_298_112
    assert project.manifest.context == LARGE[name] and "the largest with which large fits" in told[0]
    built = compile_project(project, tmp_path / "project")
    prompt = [1, 2, 3]
    with BoardProcess.of(board, built.program) as running, Link(running.url) as link:
        link.set(Setting.TEMPERATURE, 0)
        tokens = [event.token for event in link.prompt(tuple(prompt), 8) if hasattr(event, "token")]
    assert tokens == greedy(quantize(large.model, built.context), prompt, 8)


INT4_BYTES = {
    ("esp32s3-n16r8", "whole"): 12_514_880,
    ("esp32s3-n16r8", "trimmed"): 3_325_664,
    ("rp2350-16mb", "whole"): 12_498_752,
    ("rp2350-16mb", "trimmed"): 3_310_400,
}
"""Of the image, which has the embedding as int8."""


@pytest.mark.sweep
@pytest.mark.parametrize(("name", "vocabulary"), INT4_BYTES)
def test_fifteen_million_parameters_as_int4_run_bit_exact_on_a_board_with_16_mb(
    name: str, vocabulary: str, large: LoadedModel, tmp_path: Path
) -> None:
    """With its whole vocabulary, and with what a text needs of it."""
    board = load_board(name, FOLDER).twin()
    if board.emulator == "unicorn":
        require_unicorn()
    CROSS[board.chip].tool("gcc")
    floats, tokenizer = large.model, large.tokenizer
    if vocabulary == "trimmed":
        trimmed = trim(floats, tokenizer, ["once upon a time there was a girl named lily. she had a ball."])
        floats, tokenizer = trimmed.model, trimmed.tokenizer
    model = quantize(floats, LARGE[name], int4=nearest(floats))
    project = emit_project(model, tokenizer, board, check_fits(model, tokenizer, board, PARTITION))
    assert project.weights is not None and len(project.weights) == INT4_BYTES[name, vocabulary]
    built = compile_project(project, tmp_path / "project")
    prompt = [1, 2, 3]
    with BoardProcess.of(board, built.program) as running, Link(running.url) as link:
        assert link.hello.weights == WeightsState.INTACT
        link.set(Setting.TEMPERATURE, 0)
        tokens = [event.token for event in link.prompt(tuple(prompt), 8) if hasattr(event, "token")]
    assert len(tokens) == 8 and tokens == greedy(model, prompt, 8)


def test_the_real_esp32_with_16_mb_has_room_for_it_with_its_whole_context(large: LoadedModel) -> None:
    """In PSRAM, with its own partition; in the program there is no room for it on any board."""
    board = load_board("esp32s3-n16r8", FOLDER)
    model = quantize(large.model, 256)
    needs = memory_needs(model, large.tokenizer, board)
    space = room(board, PARTITION)
    assert (needs.weights_in, needs.cache_in) == (PARTITION, "PSRAM")
    assert space is not None and needs.total.fits(space)
    inside = room(board, PROGRAM)
    assert inside is not None and memory_needs(model, large.tokenizer, board, PROGRAM).total.flash > inside.flash
