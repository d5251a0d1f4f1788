"""Weights beside the program: the same integers, no weight in the program, and no image taken that is not whole."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.conftest import BASE, RANDOM_CONFIGS, nearest, random_model
from tests.pipeline.console_board import SANITIZED, Board, Person, Program, Refused, compile_program
from tinyllm.boards.description import load_board
from tinyllm.codegen.arithmetic.float_model import ModelConfig
from tinyllm.codegen.arithmetic.integer_model import IntegerModel
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.arithmetic.sampler import SamplerSettings
from tinyllm.codegen.emit.project import Project, emit_project
from tinyllm.codegen.emit.write import write_project
from tinyllm.codegen.kernels.choose import KERNEL_SETS
from tinyllm.codegen.memory.placement import Placement, tables
from tinyllm.codegen.memory.plan import PARTITION, memory_needs
from tinyllm.codegen.memory.weights_image import END, HEADER_BYTES, OFFSETS, table_bytes
from tinyllm.codegen.tokenizers import Tokenizer
from tinyllm.codegen.verify.library import HostLibrary, compile_library
from tinyllm.codegen.verify.verify import first_difference, generate, reference_run
from tinyllm.files import WEIGHTS
from tinyllm.host.link import messages as protocol
from tinyllm.host.link.messages import WeightsState

ONCE = "Once upon a time"
SAMPLING = SamplerSettings.from_float(temperature=0.8)


def apart(model: IntegerModel, tokenizer: Tokenizer, kernels: str = "host") -> Project:
    """The host board's project with its weights beside the program, packed for a kernel set."""
    board = replace(load_board("host"), instruction_set=kernels)
    return emit_project(model, tokenizer, board, memory_needs(model, tokenizer, board, PARTITION))


def library(project: Project, model: IntegerModel, folder: Path, build: str = "O2") -> HostLibrary:
    return HostLibrary(compile_library(project.files, folder, build, project.weights), model.config)


# --- The same integers ---


@pytest.mark.parametrize(
    ("kernels", "int4"),
    [
        pytest.param(name, weights, marks=[pytest.mark.sweep] if weights == "int4" and name != "armv8m" else [])
        for name in sorted(KERNEL_SETS)
        for weights in ("int8", "int4")
    ],
)
def test_an_image_of_every_kernel_set_gives_the_references_tokens(
    kernels: str, int4: str, stories_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    config = replace(BASE, tied_head=False, schedule=(0, 1, 1), windows=(None, 9, None), prefix=(5, 6, 7))
    floats = random_model(config, biases=True)
    model = quantize(floats, int4=nearest(floats) if int4 == "int4" else None)
    built = compile_library(*_parts(apart(model, stories_tokenizer, kernels), tmp_path))
    got = generate(built, model.config, 1, SAMPLING, 1, 40)
    _, difference = first_difference(reference_run(model, got.tokens, SAMPLING, 1), got)
    assert difference is None


def _parts(project: Project, folder: Path) -> tuple[dict[str, str], Path, str, bytes | None]:
    return project.files, folder, "O2", project.weights


@pytest.mark.parametrize("config", RANDOM_CONFIGS.values(), ids=list(RANDOM_CONFIGS))
def test_the_planner_counts_every_byte_of_the_image(config: ModelConfig, stories_tokenizer: Tokenizer) -> None:
    for prefix in ((), (1, 2, 3)):
        model = quantize(random_model(replace(config, prefix=prefix), biases=True))
        project = apart(model, stories_tokenizer)
        assert project.weights is not None
        assert len(project.weights) == project.needs.plan.flash["weights"] == project.needs.total.weights


def test_copies_in_ram_are_made_when_the_board_takes_the_image(stories_tokenizer: Tokenizer, tmp_path: Path) -> None:
    """After that the tables of the image are read no more, but for the shifts of the keys, which have no copy."""
    model, board = quantize(random_model(BASE, biases=True)), load_board("host")
    copied = Placement(tables={table.name: table.bytes for table in tables(model, KERNEL_SETS["host"])})
    needs = replace(memory_needs(model, stories_tokenizer, board, PARTITION), placed=copied)
    project = emit_project(model, stories_tokenizer, board, needs)
    assert project.weights is not None
    c = library(project, model, tmp_path)
    assert c.c.tl_weights_intact()
    expected = reference_run(model, np.array([1, 2]), SAMPLING, 1).logits[0]
    c.begin()
    assert np.array_equal(c.forward(1, 0), expected)
    numbers = 5 + 2 * 15  # of each gain its exponent, of a matrix the largest sum too
    kept = table_bytes(model.k_shift.size) + table_bytes(4 * numbers) + len(END)
    copied_bytes = len(project.weights) - HEADER_BYTES - kept
    c.ffi.memmove(c.image + HEADER_BYTES, bytes(copied_bytes), copied_bytes)
    c.begin()
    assert np.array_equal(c.forward(1, 0), expected)
    assert c.c.tl_weights_intact()


# --- A program without weights in it ---


def test_models_of_one_layout_have_one_program_and_swap_their_weights(
    stories_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    """Fine-tuned, quantised anew, calibrated anew, renamed: weights.bin alone differs."""
    first = quantize(random_model(BASE))
    second = quantize(random_model(replace(BASE, name="another name"), seed=1, scale=3.0))
    second = replace(second, k_shift=second.k_shift + np.uint8(1))
    one, other = apart(first, stories_tokenizer), apart(second, stories_tokenizer)
    assert one.files == other.files and one.weights != other.weights
    assert one.manifest.build_id == other.manifest.build_id and one.manifest.layout == other.manifest.layout
    assert {name for name in one.manifest.files if one.manifest.files[name] != other.manifest.files[name]} == {WEIGHTS}
    c = library(one, first, tmp_path)
    assert other.weights is not None and c.attach(other.weights)
    assert c.ffi.string(c.c.tl_model_name()) == b"another name"
    assert bytes(c.ffi.buffer(c.c.tl_model_hash(), 8)).hex() == second.short_digest() == other.manifest.model_hash
    c.begin()
    assert np.array_equal(c.forward(1, 0), reference_run(second, np.array([1, 2]), SAMPLING, 1).logits[0])


OTHER_LAYOUTS = {
    "dimensions": replace(BASE, hidden_dim=44),
    "blocks": replace(BASE, schedule=(0, 1, 1)),
    "rope": replace(BASE, rope=replace(BASE.rope, base=500.0)),
    "epsilon": replace(BASE, norm_epsilon=1e-3),
    "context": replace(BASE, context=40),
}


@pytest.mark.parametrize("config", OTHER_LAYOUTS.values(), ids=list(OTHER_LAYOUTS))
def test_an_image_of_another_layout_is_refused(
    config: ModelConfig, stories_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model = quantize(random_model(BASE))
    c = library(apart(model, stories_tokenizer), model, tmp_path)
    foreign = apart(quantize(random_model(config)), stories_tokenizer).weights
    assert foreign is not None and not c.attach(foreign)
    assert c.c.tl_weights_state() == WeightsState.FOREIGN


def test_an_image_packed_for_other_kernels_is_refused(stories_tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = quantize(random_model(BASE))
    c = library(apart(model, stories_tokenizer), model, tmp_path)
    foreign = apart(model, stories_tokenizer, "armv8m").weights
    assert foreign is not None and not c.attach(foreign)
    assert c.c.tl_weights_state() == WeightsState.FOREIGN


def test_a_project_is_written_with_its_weights_and_again_only_where_it_changed(
    stories_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    write_project(one := apart(quantize(random_model(BASE)), stories_tokenizer), tmp_path)
    assert (tmp_path / WEIGHTS).read_bytes() == one.weights
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    write_project(other := apart(quantize(random_model(BASE, seed=1)), stories_tokenizer), tmp_path)
    assert (tmp_path / WEIGHTS).read_bytes() == other.weights
    changed = {path.name for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert changed == {WEIGHTS, ".tinyllm.json"}


# --- Both voices ---


@pytest.fixture(scope="module")
def sound(stories_tokenizer: Tokenizer) -> Project:
    return apart(quantize(random_model(BASE)), stories_tokenizer)


@pytest.fixture(scope="module")
def program(sound: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_program(sound.files, tmp_path_factory.mktemp("program"), SANITIZED)


def _flipped(image: bytes, at: int) -> bytes:
    return image[:at] + bytes([image[at] ^ 1]) + image[at + 1 :]


def _of_format(image: bytes, number: int) -> bytes:
    header = image[: OFFSETS["format"]] + number.to_bytes(4, "little") + image[OFFSETS["format"] + 4 : HEADER_BYTES - 4]
    return header + zlib.crc32(header).to_bytes(4, "little") + image[HEADER_BYTES:]


DAMAGE: dict[str, tuple[WeightsState, str, Callable[[bytes], bytes]]] = {
    "no file": (WeightsState.MISSING, "there are no weights", lambda image: b""),
    "erased": (WeightsState.MISSING, "there are no weights", lambda image: b"\xff" * len(image)),
    "another file": (WeightsState.MISSING, "there are no weights", lambda image: b"GGUF" + image[4:]),
    "cut in the header": (WeightsState.MISSING, "there are no weights", lambda image: image[:50]),
    "cut": (WeightsState.TRUNCATED, "end too early", lambda image: image[:-1]),
    "an end that was not written": (
        WeightsState.TRUNCATED,
        "end too early",
        lambda image: image[: -len(END)] + b"\xff" * len(END),
    ),
    "a bit of the header": (WeightsState.DAMAGED, "failed their CRC", lambda image: _flipped(image, OFFSETS["name"])),
    "a bit of a table": (WeightsState.DAMAGED, "failed their CRC", lambda image: _flipped(image, HEADER_BYTES + 99)),
    "a bit of the last number": (
        WeightsState.DAMAGED,
        "failed their CRC",
        lambda image: _flipped(image, len(image) - len(END) - 16),
    ),
    "another format": (WeightsState.FOREIGN, "of another model or build", lambda image: _of_format(image, 2)),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_weights_that_are_not_whole_are_told_in_both_voices_and_nothing_is_computed(
    damage: str, sound: Project, program: Path
) -> None:
    state, words, spoil = DAMAGE[damage]
    assert sound.weights is not None
    beside, image = program.with_name(WEIGHTS), spoil(sound.weights)
    beside.unlink(missing_ok=True)
    if image:
        beside.write_bytes(image)
    with Board(program) as board, board.connected() as stream:
        person = Person(stream)
        assert words in person.enter("/text")
        assert words in person.enter(ONCE)
        talk = Program(stream)
        assert talk.facts.weights == state and talk.facts.layout == sound.manifest.layout
        for content in (ONCE, [1, 2], []):
            with pytest.raises(Refused, match=words) as refused:
                talk.prompt(content)
            assert refused.value.code == protocol.ErrorCode.MODEL
        talk.reset()
        with pytest.raises(Refused):
            talk.logits(0, 1)
        assert talk.hello().context_used == 0


def test_whole_weights_are_told_with_their_model(sound: Project, program: Path) -> None:
    assert sound.weights is not None
    program.with_name(WEIGHTS).write_bytes(sound.weights)
    with Board(program) as board, board.connected() as stream:
        talk = Program(stream)
        facts = talk.facts
        assert (facts.weights, facts.layout) == (WeightsState.INTACT, sound.manifest.layout)
        assert (facts.model, facts.model_hash) == ("random", sound.manifest.model_hash)
        assert talk.prompt(ONCE, 5).done.tokens == 5
