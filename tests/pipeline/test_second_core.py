"""The second core: parts of a job on two threads, and the virtual Pico and Pico 2 with both of their cores."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import skip_unless_ci
from tests.pipeline.c_library import ENGINE, CLibrary, load_c
from tests.pipeline.emulated_boards import answer
from tests.pipeline.test_virtual_boards import patched
from tinyllm.boards.description import Board, load_board
from tinyllm.errors import Failure
from tinyllm.host.build.build import Program, build
from tinyllm.host.connect.board_process import BoardProcess
from tinyllm.host.link.messages import token_digest
from tinyllm.host.model.load import load_model
from tinyllm.host.virtual.emulators import EMULATORS
from tinyllm.host.virtual.unicorn.boot_rom import BootRom, Launch
from tinyllm.host.virtual.unicorn.devices import Fifos

BOARDS = ("pico", "pico2")
CONTEXT = 256
COUNT = 32

# --- Parts of a job, on two threads ---

THREADS = """\
#include <pthread.h>
#include <string.h>

#include "parallel.h"

static pthread_t other;
static int begun, done[1000], split, cores[2];

static void *run(void *nothing) {
    tl_parallel_other();
    return nothing;
}

bool tl_port_fork(void) {
    split++;
    return begun && pthread_create(&other, 0, run, 0) == 0;
}

void tl_port_join(void) {
    (void)pthread_join(other, 0);
}

static void count(const void *job, uint32_t first, uint32_t last, uint32_t core) {
    for (uint32_t i = first; i < last; i++) done[i] += *(const int *)job;
    cores[core]++;
}

/* How often the other core was asked; counts[i]: how often part i was done; shares: parts of the job on each core. */
int spread(int ready, uint32_t n, uint32_t macs, int *counts, int *shares) {
    static const int job = 1;
    begun = ready;
    split = 0;
    memset(done, 0, sizeof done);
    memset(cores, 0, sizeof cores);
    tl_parallel(count, &job, n, macs);
    memcpy(counts, done, sizeof done);
    memcpy(shares, cores, sizeof cores);
    return split;
}
"""
LEAST = 512


@pytest.fixture(scope="module")
def threads(tmp_path_factory: pytest.TempPathFactory) -> CLibrary:
    folder = tmp_path_factory.mktemp("threads")
    files = {"threads.c": f"#define TL_CORES 2\n{THREADS}", "cores.c": '#define TL_CORES 2\n#include "parallel.c"\n'}
    declaration = "int spread(int ready, uint32_t n, uint32_t macs, int *counts, int *shares);"
    assert f"#define TL_PARALLEL_MACS {LEAST}u" in (ENGINE / "parallel.h").read_text()
    return load_c(folder, files, list(files), declaration)


@given(n=st.integers(0, 1000), macs=st.integers(0, 2 * LEAST), ready=st.booleans())
def test_every_part_of_a_job_is_done_once_whoever_does_it(threads: CLibrary, n: int, macs: int, ready: bool) -> None:
    counts, shares = threads.ffi.new("int[1000]"), threads.ffi.new("int[2]")
    asked = threads.lib.spread(ready, n, macs, counts, shares)
    assert list(counts) == [1] * n + [0] * (1000 - n)
    assert asked == (n > 1 and macs >= LEAST), "a small job is not worth the other core's while"
    assert list(shares) == [1, int(asked and ready)]


# --- The boot ROM ---


@dataclass
class Core0:
    """Core 0 at a certain time."""

    asking: int = 0
    now: int = 7

    def catch_up(self, time: int) -> None:
        self.now = max(self.now, time)


def told(words: list[int]) -> tuple[list[int], Launch | None]:
    """What the boot ROM sends back to core 0 for these words, and the launch."""
    fifos = Fifos(Core0())
    rom = BootRom(fifos)
    heard, launch = [], None
    for word in words:
        fifos.write(Fifos.WRITE, word)
        launch = launch or rom.answer(7)
        while fifos.read(Fifos.STATUS) & Fifos.RECEIVED:
            heard.append(fifos.read(Fifos.READ))
    return heard, launch


START = [0, 0, 1, 0x10000100, 0x20041000, 0x10000201]


def test_the_boot_rom_sends_every_word_back_and_launches_after_the_sequence() -> None:
    assert told(START) == (START, Launch(entry=0x10000201, stack=0x20041000))
    assert told(START[:5]) == (START[:5], None)


def test_a_word_that_does_not_belong_there_begins_the_sequence_again() -> None:
    assert told([0, 1, *START])[1] == Launch(entry=0x10000201, stack=0x20041000)
    assert told([0, 0, 5, *START[3:]])[1] is None


def test_a_full_fifo_has_no_room_and_loses_what_comes() -> None:
    fifos = Fifos(Core0())
    for word in range(12):
        fifos.write(Fifos.WRITE, word)
    assert not fifos.read(Fifos.STATUS) & Fifos.ROOM
    assert [fifos.take(1) for _ in range(9)] == [*range(8), None]


# --- Virtual boards with two cores ---


@pytest.fixture(scope="module", autouse=True)
def without_a_registry() -> Iterator[None]:
    """A proxy that refuses at once, so that no build waits for PlatformIO's registry."""
    if importlib.util.find_spec("unicorn") is None:
        skip_unless_ci("the Unicorn emulator is not installed: pip install 'tinyllm[virtual]'")
    if shutil.which("arm-none-eabi-gcc") is None:
        skip_unless_ci("no arm-none-eabi-gcc on PATH")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HTTPS_PROXY", "https_proxy"):
            patch.setenv(name, "http://127.0.0.1:9")
        yield


def twin(name: str, cores: int = 2) -> Board:
    """Virtual boards compute on both cores, unless we say otherwise."""
    board = load_board(name).twin()
    assert board.cores == 2
    return replace(board, cores=cores)


@pytest.fixture(scope="module")
def images() -> dict[tuple[str, int], Program]:
    """The bundled model by board and number of cores."""
    loaded = load_model(None)
    return {(name, cores): build(loaded, twin(name, cores), CONTEXT) for name in BOARDS for cores in (1, 2)}


@pytest.mark.parametrize("name", BOARDS)
def test_two_cores_give_the_same_tokens_sooner(name: str, images: dict[tuple[str, int], Program]) -> None:
    """Time is the longer way through both cores; what they execute together is little more than one alone."""
    micros, executed, digests = {}, {}, set()
    for cores in (1, 2):
        with BoardProcess.of(twin(name, cores), images[name, cores].program, count=True) as process:
            answer(process, 1)  # both cores have started
            before = process.instructions()
            said = answer(process, COUNT)
            after = process.instructions()
        digests.add(token_digest(said.tokens))
        micros[cores] = said.microseconds
        executed[cores] = [now - then for then, now in zip(before, after, strict=True)]
    assert len(digests) == 1
    assert micros[2] < 0.75 * micros[1]
    alone, (first, second) = sum(executed[1]), executed[2]
    assert 0.2 * alone < second < first
    assert alone < first + second < 1.02 * alone


def test_its_clock_says_that_two_cores_are_an_estimate(images: dict[tuple[str, int], Program]) -> None:
    clocks = [BoardProcess.of(twin("pico", n), images["pico", n].program, count=True).clock for n in (1, 2)]
    assert clocks == ["counted instructions", "estimated from counted instructions, the longer of both cores' ways"]


def test_only_a_board_that_counts_tells_what_its_cores_executed(images: dict[tuple[str, int], Program]) -> None:
    with (
        BoardProcess.of(twin("pico"), images["pico", 2].program) as process,
        pytest.raises(Failure, match="with count"),
    ):
        process.instructions()


FAULTS = {
    "an undefined instruction": "udf #0",
    "a load from 0x30000000, where there is no memory": "ldr r0, 1f\nldr r0, [r0]\n.align 2\n1: .4byte 0x30000000",
    "a store to 0x20001ffc, where there is no memory: stack overflow, 4 bytes below the stack": ("1: push {r0}\nb 1b"),
}


@pytest.mark.parametrize("what", FAULTS)
@pytest.mark.parametrize("name", BOARDS)
def test_a_fault_of_core_1_stops_the_board_with_that_cores_registers(
    name: str, what: str, images: dict[tuple[str, int], Program], tmp_path: Path
) -> None:
    image = patched(name, images[name, 2].program, FAULTS[what], tmp_path, "tl_parallel_other")
    with BoardProcess.of(twin(name), image) as process:
        with pytest.raises(Failure, match="the board"):
            answer(process, 4)
        *registers, last = process.report()
    chip = load_board(name).chip
    assert re.fullmatch(
        rf"core 1 of the virtual {chip} stopped after \d+ instructions: {what}, at \S+ \(tl_parallel_other\+\S+\)", last
    )
    values = dict(line.split(maxsplit=1) for line in registers)
    assert re.search(r" work\+0x\w+$", values["lr"])


def test_without_an_answer_of_core_1_core_0_computes_alone(
    images: dict[tuple[str, int], Program], tmp_path: Path
) -> None:
    image = patched("pico", images["pico", 2].program, "bx lr", tmp_path, "tl_second_core_start")
    with BoardProcess.of(twin("pico"), image, count=True) as process:
        tokens = answer(process, COUNT).tokens
        assert len(process.instructions()) == 1
    with BoardProcess.of(twin("pico"), images["pico", 2].program) as process:
        assert answer(process, COUNT).tokens == tokens


def test_cores_that_wait_for_each_other_for_ever_stop_the_board(
    images: dict[tuple[str, int], Program], tmp_path: Path
) -> None:
    image = patched("pico", images["pico", 2].program, "1: wfe\nb 1b", tmp_path, "tl_session_start")
    done = subprocess.run(
        EMULATORS["unicorn"].command(image, "rp2040", "--tcp", "0"), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "it waits for an event, and there is nobody who could send one, at" in done.stderr.splitlines()[-1]


def test_a_core_that_never_waits_lets_the_other_have_its_turn(
    images: dict[tuple[str, int], Program], tmp_path: Path
) -> None:
    """Core 0 turns round and round; core 1, launched before, runs into its fault all the same."""
    image = patched("pico", images["pico", 2].program, "b .", tmp_path, "tl_session_start")
    image = patched("pico", image, "udf #0", tmp_path, "work")
    done = subprocess.run(
        EMULATORS["unicorn"].command(image, "rp2040", "--tcp", "0"), capture_output=True, text=True, timeout=60
    )
    assert "core 1 of the virtual rp2040 stopped after 1 instructions: an undefined instruction" in done.stderr
