"""The verbs with --virtual and with a board to prove, in processes of their own."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.boards.conftest import missing
from tests.conftest import skip_unless_ci
from tinyllm.boards.description import load_board
from tinyllm.errors import Failure, UserError
from tinyllm.host.build.build import build
from tinyllm.host.connect.board_process import BoardProcess
from tinyllm.host.connect.connection import Connection
from tinyllm.host.link.link import Link
from tinyllm.host.link.wire_log import WireLog
from tinyllm.host.model.load import load_model
from tinyllm.host.prove.expected_answers import Expected
from tinyllm.host.prove.prove import prove
from tinyllm.host.prove.records import read

SMALL = ("--context", "64")


def tinyllm(*arguments: str, before: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """A command; `before` is Python that runs before it."""
    code = f"{before}\nimport sys; from tinyllm.host.cli import app as cli; sys.exit(cli.run(sys.argv[1:]))"
    command = [sys.executable, "-c", code, *arguments]
    variables = os.environ | environment
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=variables)


def document(*arguments: str) -> dict[str, Any]:
    done = tinyllm(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)
    assert isinstance(read, dict)
    return read


@pytest.fixture
def virtual_pico2() -> Iterator[tuple[str, ...]]:
    """The options that ask for it."""
    if lacking := missing(load_board("pico2"), True, None, None):
        skip_unless_ci(lacking)
    yield ("--board", "pico2", "--virtual", *SMALL)


def test_a_virtual_board_tells_the_story_of_the_host_board(virtual_pico2: tuple[str, ...]) -> None:
    ask = ("run", "-p", "Once upon a time", "-n", "24", "--temperature", "0")
    here, there = document(*ask, *SMALL), document(*ask, *virtual_pico2)
    assert (there["board"], there["clock"]) == ("pico2-virtual", "emulated clock of the virtual rp2350")
    assert [there[name] for name in ("tokens", "text", "digest")] == [
        here[name] for name in ("tokens", "text", "digest")
    ]


def test_a_chat_can_be_had_with_a_virtual_board(virtual_pico2: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "tinyllm.host.cli.app", "chat", *virtual_pico2]
    typed = "/temp 0\n/max 8\nOnce upon a time\n/stats\n"
    done = subprocess.run(command, input=typed, capture_output=True, text=True, timeout=120)
    assert done.stdout == ", there was a little girl\n"
    assert "tinystories-260k on pico2-virtual, context 64 tokens" in done.stderr


@pytest.mark.parametrize("board", ["host", "pico2"])
def test_a_board_is_verified_over_its_protocol(board: str, virtual_pico2: tuple[str, ...]) -> None:
    options = virtual_pico2 if board == "pico2" else ("--board", board, *SMALL)
    done = tinyllm("verify", *options, "--positions", "40")
    assert done.returncode == 0, done.stderr
    lines = re.findall(r"^bit-exact: (\d+/\d+ \w+)", done.stdout, re.MULTILINE)
    assert lines == ["40/40 tokens", "40/40 tokens", "7/7 positions"]


def test_bench_says_what_a_token_takes_and_what_kind_of_figure_that_is(virtual_pico2: tuple[str, ...]) -> None:
    there, here = (document("bench", *options, "-n", "12") for options in (virtual_pico2, ("--board", "host", *SMALL)))
    assert there["kind"] == "estimated from counted instructions, the longer of both cores' ways"
    assert here["kind"] == "wall clock of this host process"
    assert (there["answer"]["tokens"], there["answer"]["unit"]) == (12, "instructions")
    assert min(there["executed"]) > 12 * 100_000
    assert there["answer"]["tokens_per_second"] is None
    assert there["digest"] == here["digest"]
    assert document("bench", "--board", "host", *SMALL, "-n", "2000")["answer"]["tokens_per_second"] > 0
    shown = tinyllm("bench", *virtual_pico2, "-n", "12").stdout
    assert "instructions per token" in shown
    assert "Figures: estimated from counted instructions" in shown


def test_bench_shows_parts_bytes_and_an_estimate_of_a_virtual_board(virtual_pico2: tuple[str, ...]) -> None:
    """Positions beside the mean; the parts of both cores, and what follows from them."""
    told = document("bench", *virtual_pico2, "-n", "4", "--positions", "0,20")
    mean, first, later = told["places"]
    assert [place["positions"] for place in told["places"]] == ["5-8", "0", "20"]
    assert set(mean["parts"]) == {"matrices", "attention", "norms", "sampling", "rest"}
    assert (told["cores"], told["macs"], len(later["by_core"])) == (2, 263_168, 2)
    assert sum(later["parts"].values()) == sum(later["by_core"])
    assert later["bytes"]["cache_read"] == 21 * first["bytes"]["cache_read"]
    one, two = later["estimates"]
    assert 0.5 < one["tokens_per_second"] / two["tokens_per_second"] < 1
    assert not two["half_assumed"] and told["estimated_from"]["cycles_per_instruction"] > 1
    assert later["functions"]["sampling"]["tl_sample"] > 0
    alone = document("bench", *virtual_pico2, "-n", "4", "--cores", "1")
    assert alone["cores"] == 1 and alone["places"][0]["estimates"][1]["half_assumed"]
    assert alone["kind"] == "counted instructions"
    assert alone["digest"] == told["digest"]
    shown = tinyllm("bench", *virtual_pico2, "-n", "4", "--functions").stdout
    assert (
        "matrices " in shown and "mmmm" in shown and "tl_sample" in shown and "tokens/s at 150 MHz, estimated" in shown
    )


def test_bench_saves_records_of_a_board(tmp_path: Path) -> None:
    path = tmp_path / "desk.toml"
    for count in (1, 2):
        done = tinyllm("bench", *SMALL, "-n", "4", "--save", str(path))
        assert done.returncode == 0 and f"saved: {path.as_posix()}." in done.stderr
        assert len(read(path)) == count
    first, second = read(path)
    assert (first["board"], first["unit"], first["kind"]) == ("host", "microseconds", "wall clock of this host process")
    assert first["digest"] == second["digest"]
    path.write_text("a = 1")
    done = tinyllm("bench", *SMALL, "-n", "4", "--save", str(path))
    assert (done.returncode, done.stdout) == (2, "")
    assert "no [[record]] in it" in done.stderr


def test_a_board_that_computes_something_else_is_found_out() -> None:
    """The proof of one model with the reference of another that differs in a single weight."""
    loaded = load_model(None)
    embedding = loaded.model.embedding.copy()
    embedding[300] *= 1.5
    other = replace(loaded, model=replace(loaded.model, embedding=embedding))
    with BoardProcess([build(loaded, load_board("host"), 64).program]) as process, Link(process.url) as link:
        sampled, logits = prove(link, Expected(other, 64), temperatures=[1.0], count=40)
    assert sampled.difference is not None
    assert re.fullmatch(rf"token {sampled.exact} is \d+, the reference has \d+", sampled.difference)
    assert sampled.digest != sampled.expected_digest
    assert logits.difference is not None
    assert re.fullmatch(r"position 0: logit \d+ is -?\d+, the reference has -?\d+", logits.difference)


def test_verify_says_so_when_another_model_is_named_than_runs() -> None:
    loaded = load_model(None)
    head = loaded.model.output_head.copy()
    head[300] *= 1.5
    other = replace(
        loaded, model=replace(loaded.model, head=head, config=replace(loaded.model.config, tied_head=False))
    )
    with BoardProcess([build(other, load_board("host"), 64).program]) as process:
        done = tinyllm("verify", str(loaded.path), "--port", process.url)
    assert done.returncode == 2
    assert "of other weights, --trim-vocab or --prefix. Name the model that it runs" in done.stderr


def test_a_board_of_another_kind_than_the_named_one_is_told_and_a_twin_is_of_its_kind() -> None:
    twin = replace(load_board("host"), name="pico-virtual")
    with BoardProcess([build(load_model(None), twin, 64).program]) as process:
        for verb in (("run", "-p", "x", "-n", "1"), ("verify", "--positions", "2")):
            assert tinyllm(*verb, "--port", process.url, "--board", "pico").returncode == 0
            done = tinyllm(*verb, "--port", process.url, "--board", "esp32")
            assert (done.returncode, done.stdout) == (2, "")
            assert done.stderr.startswith(f"error: {process.url}: the board is pico-virtual, not esp32. ")


@pytest.mark.parametrize(
    ("name", "clock", "kind"),
    [
        ("host", "wall clock of a host process", "wall clock of a host process"),
        ("pico-virtual", "emulated clock of pico-virtual", "emulated clock of pico-virtual"),
        ("pico", "the board's own clock", "measured on the board by its own clock, 20"),
    ],
)
def test_what_a_board_on_a_port_calls_itself_tells_what_its_clock_is(name: str, clock: str, kind: str) -> None:
    with BoardProcess([build(load_model(None), replace(load_board("host"), name=name), 64).program]) as process:
        there = ("--port", process.url)
        assert document("run", "-p", "x", "-n", "2", *there)["clock"] == clock
        assert document("bench", "-n", "2", *there)["kind"].startswith(kind)


def test_the_clock_is_that_of_the_board_that_came_back() -> None:
    host = load_board("host")
    programs = [build(load_model(None), replace(host, name=name), 64).program for name in ("pico", "pico-virtual")]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    connection = Connection(f"socket://127.0.0.1:{port}")
    clocks = []
    for program in programs:
        with subprocess.Popen([program, "--tcp", str(port)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None and process.stdout.readline()
            connection.reopen(patience=10).close()
            clocks.append(connection.clock)
            process.kill()
    assert clocks == ["the board's own clock", "emulated clock of pico-virtual"]


def test_build_tells_the_deepest_stack_of_the_boards_own_compiler(virtual_pico2: tuple[str, ...]) -> None:
    here, there = document("build", *SMALL), document("build", *virtual_pico2)
    for built in (here, there):
        assert 100 < built["stack"]["bytes"] < 4096
        assert built["stack"]["chain"][0] == "tl_console_poll"
    assert there["stack"] != here["stack"]
    assert f"{there['stack']['bytes']:,}" in tinyllm("build", *virtual_pico2).stdout


MISTAKES = {
    "no Unicorn": (
        ("run", "-p", "x", "--board", "pico", "--virtual"),
        "import sys; sys.modules['unicorn'] = None",
        {},
        "pip install 'tinyllm[virtual]'",
    ),
    "no cross-compiler": (
        ("build", "--board", "esp32c3", "--virtual", "--context", "72"),
        "",
        {"PATH": "/nowhere"},
        "gcc-riscv64-unknown-elf",
    ),
    "no twin": (("run", "-p", "x", "--virtual"), "", {}, "board host has no virtual twin"),
    "a port too": (
        ("chat", "--board", "pico", "--virtual", "--port", "x"),
        "",
        {},
        "--virtual starts a board on this computer; leave it out with --port",
    ),
    "a way to compile too": (("verify", "--board", "host", "--build", "O2"), "", {}, "leave them out with a board"),
    "kernels too": (("verify", "--virtual", "--kernels", "all"), "", {}, "leave them out with a board"),
    "no positions": (("verify", "--board", "host", "--positions", "0"), "", {}, "--positions 0: expected 1 to 65536"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_with_exit_code_2(mistake: str) -> None:
    arguments, before, environment, complaint = MISTAKES[mistake]
    done = tinyllm(*arguments, before=before, **environment)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


# --- A board's process ------------------------------------------------------------------------------------------------


def test_what_a_process_says_is_missing_is_the_users_to_mend() -> None:
    code = "import sys; print('tinyllm: no emulator; get one', file=sys.stderr); sys.exit(2)"
    with pytest.raises(UserError, match=r"^no emulator; get one$"):
        BoardProcess([sys.executable, "-c", code]).start()


def test_a_process_that_fails_is_quoted() -> None:
    code = "import sys; print('pc=10000000'); print('tinyllm: fault'); sys.exit(1)"
    process = BoardProcess([sys.executable, "-c", code])
    with pytest.raises(Failure, match=r"the board did not start \(it ended with code 1: tinyllm: fault\)"):
        process.start()
    assert process.report() == ["pc=10000000", "tinyllm: fault"]


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="program: cannot be started"):
        BoardProcess([tmp_path / "program"]).start()


# --- The transcript ---------------------------------------------------------------------------------------------------


def test_the_transcript_keeps_the_last_bytes_of_each_way() -> None:
    log = WireLog(kept=100)
    for i in range(1000):
        log.sent(b"to %d\0" % i)
        log.received(b"from %d\0" % i)
    lines = log.lines()
    assert "> text 'to 999'" in lines[-2]
    assert "< text 'from 999'" in lines[-1]
    assert sum(" > " in line for line in lines) < 20
