"""The command line: what the verbs show, and that every mistake ends in a line that helps and the right exit code."""

from __future__ import annotations

import io
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from serial.tools import list_ports

from tests.conftest import skip_unless_ci
from tinyllm.boards.description import FOLDER, load_board
from tinyllm.cache_folder import home
from tinyllm.codegen.arithmetic.sampler_settings import ONE, Unit
from tinyllm.codegen.emit.write import write_project
from tinyllm.errors import Failure, UserError
from tinyllm.host.api.model import LanguageModel
from tinyllm.host.chat.transcript import save_transcript
from tinyllm.host.cli import app as cli
from tinyllm.host.cli import boards as verbs_look
from tinyllm.host.doctor import check_machine
from tinyllm.host.link import messages as protocol
from tinyllm.host.link import serial_port
from tinyllm.host.link import usb as finding
from tinyllm.host.link.settings import RANGES
from tinyllm.host.model.load import LoadOptions
from tinyllm.host.output import Output
from tinyllm.models import bundled
from tinyllm.text import printable

NOBODY = 65534
HOST = Path(cli.__file__).parents[1]
MODULES = sorted(".".join(path.relative_to(HOST).with_suffix("").parts) for path in HOST.rglob("[!_]*.py"))
OF_LINUX = ("labgrid.drivers", "labgrid.places", "pytest_plugin.lab")
"""These need labgrid, which is for Linux alone."""


@pytest.fixture(autouse=True)
def nothing_piped_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TINYLLM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def tinyllm(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Exit code, stdout and stderr of a command."""

    def command(*arguments: str) -> tuple[int, str, str]:
        code = cli.run(list(arguments))
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return command


Tinyllm = Callable[..., tuple[int, str, str]]


def document(shown: tuple[int, str, str]) -> dict[str, Any]:
    code, out, _ = shown
    assert code == 0
    read = json.loads(out)
    assert isinstance(read, dict)
    return read


# --- What is there ----------------------------------------------------------------------------------------------------


def test_the_host_board_is_listed(tinyllm: Tinyllm) -> None:
    boards = document(tinyllm("boards", "--json"))["boards"]
    assert "host" in [board["name"] for board in boards]
    assert "host" in tinyllm("boards")[1]


def test_boards_tells_which_have_a_twin_and_which_are_the_users_own(
    tinyllm: Tinyllm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "boards").mkdir()
    for name in ("pico", "feather"):
        (tmp_path / f"boards/{name}.toml").write_text((FOLDER / "pico.toml").read_text())
    monkeypatch.chdir(tmp_path)
    _, out, _ = tinyllm("boards")
    rows = out.splitlines()
    assert {
        row.split("  ")[0]: row.endswith("--virtual") for row in rows if row.startswith(("this ", "ESP32-C3 "))
    } == {
        "this computer": False,
        "ESP32-C3": True,
    }
    assert [row for row in rows if row.startswith("your own: ")] == [
        f"your own: feather, {Path('boards/feather.toml')}",
        f"your own: pico, {Path('boards/pico.toml')}, in place of ours",
    ]
    own = {board["name"]: board["own"] for board in document(tinyllm("boards", "--json"))["boards"]}
    assert (own["feather"], own["host"]) == (str(Path("boards/feather.toml")), None)


def test_what_is_attached_is_shown_with_the_boards(tinyllm: Tinyllm, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "attached: none that is known by its USB numbers" in tinyllm("boards")[1] or serial_port.list_serial_ports()
    pico = SimpleNamespace(device="COM7", description="Pico", vid=0x2E8A, pid=0x000A, serial_number="E660")
    monkeypatch.setattr(list_ports, "comports", lambda: [pico])
    assert "attached: COM7 Pico, may be pico or xiao-rp2040\n" in tinyllm("boards")[1]
    attached = document(tinyllm("boards", "--json"))["attached"]
    assert [(port["device"], port["boards"]) for port in attached] == [("COM7", ["pico", "xiao-rp2040"])]


def test_the_bundled_models_are_listed_with_their_parameters(tinyllm: Tinyllm) -> None:
    models = document(tinyllm("models", "--json"))["models"]
    assert [model["name"] for model in models] == list(bundled())
    assert all(model["parameters"] > 100_000 for model in models)
    assert all(name in tinyllm("models")[1] for name in bundled())


def test_ports_are_the_ports_of_this_computer(tinyllm: Tinyllm) -> None:
    ports = document(tinyllm("ports", "--json"))["ports"]
    assert [port["device"] for port in ports] == [port.device for port in serial_port.list_serial_ports()]


def test_the_parts_of_a_model_add_up(tinyllm: Tinyllm) -> None:
    facts = document(tinyllm("inspect", "--json"))
    assert sum(facts["parts"].values()) == facts["parameters"]
    assert facts["tokenizer"]["vocab_size"] == facts["config"]["vocab_size"]
    assert f"{facts['parameters']:,}" in tinyllm("inspect")[1]


def test_doctor_finds_this_python_and_says_whether_all_is_well(tinyllm: Tinyllm) -> None:
    code, out, _ = tinyllm("doctor", "--json")
    report = json.loads(out)
    checks = {check["name"]: check for check in report["checks"]}
    assert checks["python"]["ok"]
    assert checks["python"]["found"].startswith(".".join(map(str, sys.version_info[:3])))
    assert code == (0 if report["healthy"] else 1)


def test_doctor_says_what_to_install_if_there_is_no_compiler(
    tinyllm: Tinyllm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    code, out, _ = tinyllm("doctor")
    assert code == 1
    assert "C compiler" in out
    assert "Install one: `" in out


@pytest.mark.skipif(sys.platform != "linux", reason="folders of Linux")
@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("{tmp_path}/a file", "/a file: cannot be written (File exists)"),
        ("/proc/sys", "/proc/sys: cannot be written ("),
    ],
)
def test_doctor_names_a_cache_folder_that_it_cannot_write_and_goes_on(
    tinyllm: Tinyllm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str, told: str
) -> None:
    """In /proc/sys nobody can make a file, whoever runs the test."""
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("TINYLLM_HOME", place.format(tmp_path=tmp_path))
    code, out, _ = tinyllm("doctor", "--json")
    assert code == 1
    checks = {check["name"]: check for check in json.loads(out)["checks"]}
    assert not checks["cache folder"]["ok"]
    assert told in checks["cache folder"]["found"]
    assert checks["cache folder"]["advice"].endswith("set TINYLLM_HOME to a folder of yours.")
    assert "Node.js" in checks, "the last of all checks"


@pytest.mark.skipif(os.name == "nt", reason="owners of POSIX")
def test_doctor_looks_into_the_folders_of_the_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `sudo tinyllm` leaves one behind."""
    with tempfile.TemporaryDirectory() as cache:
        (Path(cache) / "builds").mkdir()
        (Path(cache) / "builds").chmod(0o555)
        Path(cache).chmod(0o777)
        monkeypatch.setenv("TINYLLM_HOME", cache)
        am_root = os.geteuid() == 0
        if am_root:
            os.seteuid(NOBODY)
        try:
            (check,) = (check for check in islice(check_machine(), 8) if check.name == "cache folder")
        finally:
            if am_root:
                os.seteuid(0)
    assert (check.ok, check.found) == (False, f"{cache}/builds: cannot be written (Permission denied)")


def test_doctor_leaves_nothing_in_the_cache_folder(tinyllm: Tinyllm, own_home: Path) -> None:
    (own_home / "builds").mkdir(parents=True)
    assert tinyllm("doctor", "--json")[0] == 0
    assert [path.name for path in own_home.rglob("*")] == ["builds"]


VIRTUAL = {"C for rp2040, rp2350", "C for esp32c3", "C for lx106", "unicorn", "qemu-system-xtensa", "Node.js"}
"""What doctor calls the things that --virtual needs."""


@pytest.mark.skipif(os.name == "nt", reason="cc is not called so there")
def test_doctor_says_how_to_get_what_virtual_boards_need_and_is_content_without(
    tinyllm: Tinyllm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # ccache's cc would look for the compiler on the PATH that this test takes away.
    compiler = shutil.which(
        "cc", path=os.pathsep.join(folder for folder in os.get_exec_path() if "ccache" not in folder)
    )
    if compiler is None:
        skip_unless_ci("no cc on PATH")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "cc").symlink_to(str(compiler))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setitem(sys.modules, "unicorn", None)
    checks = {check["name"]: check for check in document(tinyllm("doctor", "--json"))["checks"]}
    assert checks.keys() >= VIRTUAL
    assert not any(checks[name]["ok"] or checks[name]["needed"] for name in VIRTUAL)
    for name, advice in (
        ("C for rp2040, rp2350", "To get one: sudo apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi"),
        ("C for esp32c3", "To get one: sudo apt-get install gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf"),
        ("C for lx106", "To get one: sudo apt-get install gcc-xtensa-lx106 picolibc-xtensa-lx106-elf"),
        ("unicorn", "to get it: pip install 'tinyllm[virtual]'"),
        ("qemu-system-xtensa", "sudo apt-get install qemu-system-misc, or see qemu.org."),
        ("Node.js", "node is not on PATH; install Node.js 18 or later"),
    ):
        assert advice in checks[name]["advice"]
    shown = tinyllm("doctor")[1]
    assert all(re.search(rf"^note +{re.escape(name)} .*\n {{29}} \S", shown, re.MULTILINE) for name in VIRTUAL)


@pytest.mark.skipif(os.name == "nt", reason="the compiler is a shell script")
def test_doctor_does_not_take_a_compiler_for_one_that_has_no_c_library(
    tinyllm: Tinyllm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It gives back the name of a file that it has not."""
    compiler = tmp_path / "arm-none-eabi-gcc"
    compiler.write_text('#!/bin/sh\nfor last; do :; done\necho "${last#-print-file-name=}"\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    report = json.loads(tinyllm("doctor", "--json")[1])
    (check,) = (check for check in report["checks"] if check["name"] == "C for rp2040, rp2350")
    assert not check["ok"]
    assert check["found"] == (
        "arm-none-eabi-gcc has no C library, "
        "for pico-virtual, pico-w-virtual, xiao-rp2040-virtual, pico2-virtual and 4 more"
    )


@pytest.mark.parametrize("arguments", [["--version"], ["--help"]])
def test_version_and_help_import_no_verb(arguments: list[str]) -> None:
    """So they answer at once: numpy, serial, PlatformIO and huggingface_hub take longer than all else."""
    code = "import sys; from tinyllm.host.cli import app; app.run(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60)
    imported = set(done.stderr.split())
    assert "tinyllm.host.cli.app" in imported
    assert not imported & {"numpy", "serial", "platformio", "huggingface_hub", "jinja2", "tinyllm.host.cli.run"}


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_of_the_table_is_a_command_of_its_module(tinyllm: Tinyllm, verb: str) -> None:
    assert tinyllm(verb, "--help")[0] == 0
    assert cli.VERBS[verb] in " ".join(tinyllm("--help")[1].split())


def test_a_text_without_a_mark_is_one_story(tinyllm: Tinyllm, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("Once upon a time")
    code, out, err = tinyllm("eval", "--text", str(text))
    assert (code, err) == (0, "")
    assert out.startswith("tinystories-260k on text.txt: 1 story, 5 tokens\n")


def test_json_as_a_prompt_is_no_option(tinyllm: Tinyllm) -> None:
    code, out, err = tinyllm("run", "-p", "--json", "--board", "hots")
    assert (code, out) == (2, "")
    assert "unknown board" in err


def test_the_version_is_shown(tinyllm: Tinyllm) -> None:
    assert tinyllm("--version")[1].startswith("tinyllm 0.")


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_has_help(tinyllm: Tinyllm, verb: str) -> None:
    code, out, _ = tinyllm(verb, "--help")
    assert code == 0
    assert f"Usage: tinyllm {verb}" in out
    assert ("--json" in out) == (verb != "monitor")


# --- Mistakes ---------------------------------------------------------------------------------------------------------

MISTAKES = {
    "an unknown verb": (["fly"], "no verb is called 'fly'. See `tinyllm --help`."),
    "a near verb": (["benhc"], "no verb is called 'benhc'. Did you mean bench? See `tinyllm --help`."),
    "an unknown option": (["boards", "--fly"], "No such option '--fly'. See `tinyllm boards --help`."),
    "an unknown option of all": (["--fly", "boards"], "No such option '--fly'. See `tinyllm --help`."),
    "a number that is none": (["build", "--context", "x"], "'x' is not a valid integer. See `tinyllm build --help`."),
    "no prompt": (["run"], "prompt"),
    "an unknown model": (["inspect", "no-such-model"], "no-such-model: neither a bundled model nor a file"),
    "a near model": (["inspect", f"{next(iter(bundled()))}x"], f"Did you mean {next(iter(bundled()))}?"),
    "an unknown board": (["build", "--board", "hots"], "unknown board 'hots'. Did you mean host?"),
    "a context too small": (["build", "--context", "2"], "--context 2: expected 8 or more"),
    "a negative context": (["build", "--context", "-5"], "--context -5: expected 8 or more"),
    "a position that is none": (["bench", "--positions", "1,x"], "'1,x': expected positions of the conversation"),
    "a record of another name": (["bench", "--save", "model"], "--save model: expected a file that ends in .toml"),
    "cores of a real board": (["bench", "--cores", "1"], "are for virtual boards: add --virtual"),
    "cores that a twin lacks": (
        ["bench", "--board", "esp32c3", "--virtual", "--cores", "2"],
        "--cores 2: the virtual esp32c3 computes on 1",
    ),
    "an emulator of another chip": (
        ["bench", "--board", "pico2", "--virtual", "--emulator", "rp2040js"],
        "--emulator rp2040js runs a pico alone, not pico2",
    ),
    "no token to bench": (["bench", "-n", "0"], "0 is not in the range 1<=x<=4294967295"),
    "more tokens than a board takes": (["bench", "-n", "4294967296"], "not in the range 1<=x<=4294967295"),
    "a context too large": (["chat", "--context", "1000000"], "a context of 1000000 positions is asked for"),
    "a temperature too high": (
        ["run", "-p", "x", "--temperature", "101"],
        "--temperature 101: expected a number from 0 to 100",
    ),
    "a negative top-k": (
        ["run", "-p", "x", "--top-k", "-1"],
        "--top-k -1: expected a whole number from 0 to 4294967295",
    ),
    "a top-k beyond all": (
        ["run", "-p", "x", "--top-k", "1" * 400],
        "--top-k 11111111111111111111...: expected a whole number from 0 to 4294967295",
    ),
    "a top-p of nothing": (["run", "-p", "x", "--top-p", "0"], "--top-p 0: expected a number from 0.00002 to 1"),
    "a min-p too high": (["run", "-p", "x", "--min-p", "1.5"], "--min-p 1.5: expected a number from 0 to 1"),
    "a penalty of nothing": (
        ["run", "-p", "x", "--repetition-penalty", "0"],
        "--repetition-penalty 0: expected a number from 0.01 to 100",
    ),
    "a seed too large": (
        ["run", "-p", "x", "--seed", "4294967296"],
        "--seed 4294967296: expected a whole number from 0 to 4294967295",
    ),
    "a negative number of tokens": (["run", "-p", "x", "-n", "-1"], "--max-tokens -1: expected a whole number from 0"),
    "a temperature that is none": (
        ["run", "-p", "x", "--temperature", "nan"],
        "--temperature nan: expected a number from 0 to 100",
    ),
    "a negative seed": (["run", "-p", "x", "--seed", "-1"], "--seed -1: expected a whole number from 0 to 4294967295"),
    "a negative seed to verify with": (["verify", "--seed", "-1"], "--seed -1: expected a whole number from 0"),
    "a temperature to verify with": (
        ["verify", "--temperature", "-1"],
        "--temperature -1: expected a number from 0 to",
    ),
    "a port that does not exist": (["run", "-p", "x", "--port", "/dev/ttyNONE"], "/dev/ttyNONE: no such port"),
    "a port of an unknown kind": (["chat", "--port", "gopher://x"], "gopher://x: gopher:// is no way to a board"),
    "a port without a name": (["run", "-p", "x", "--port", ""], "a port's name is empty. `tinyllm ports` lists"),
    "no port to flash": (["flash", "--port", ""], "a port's name is empty"),
    "an address to flash without a port": (["flash", "--port", "socket://127.0.0.1"], "the port's number is missing"),
    "an address without a port": (["chat", "--port", "socket://127.0.0.1"], "the port's number is missing. Expected"),
    "a context with a port": (["chat", "--port", "x", "--context", "9"], "--context is settled when a board is built"),
    "a port for a virtual board": (["run", "-p", "x", "--port", "x", "--virtual"], "--virtual starts a board on this"),
    "a missing text to trim to": (["build", "--trim-vocab", "/nowhere/text"], "/nowhere/text: no such file"),
    "a missing tokenizer": (["inspect", "--tokenizer", "/nowhere/tok.bin"], "/nowhere/tok.bin"),
    "a missing text": (["eval", "--text", "/nowhere/text"], "/nowhere/text"),
    "an unknown way to compile": (["verify", "--build", "O9"], "--build O9: expected one of O0"),
    "unknown kernels": (
        ["verify", "--kernels", "armv9"],
        "no kernels are named 'armv9'; expected one of all, generic, armv6m, ",
    ),
}


def test_without_a_verb_the_help_is_shown_and_nothing_else(tinyllm: Tinyllm) -> None:
    code, out, err = tinyllm()
    assert (code, err) == (2, "")
    assert "Usage: tinyllm" in out


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_a_line_that_names_it_and_exit_code_2(tinyllm: Tinyllm, mistake: str) -> None:
    arguments, complaint = MISTAKES[mistake]
    code, out, err = tinyllm(*arguments)
    assert code == 2
    assert out == ""
    assert complaint in err
    assert err.startswith("error: ")
    assert len(err.strip().splitlines()) <= 2
    assert "Traceback" not in err


@pytest.mark.parametrize("mistake", MISTAKES)
def test_with_json_a_mistake_is_a_document_too(tinyllm: Tinyllm, mistake: str) -> None:
    arguments, complaint = MISTAKES[mistake]
    code, out, _ = tinyllm(*arguments, "--json")
    error = json.loads(out)["error"]
    assert (code, error["exit_code"]) == (2, 2)
    assert complaint in error["message"]


@pytest.mark.parametrize("options", [(), ("--context", "512")])
@pytest.mark.parametrize("verb", [("run", "-p", "x"), ("chat",), ("verify",), ("bench",)])
def test_a_board_that_is_not_plugged_in_may_be_had_virtually(
    tinyllm: Tinyllm, monkeypatch: pytest.MonkeyPatch, verb: tuple[str, ...], options: tuple[str, ...]
) -> None:
    monkeypatch.setattr(list_ports, "comports", list)
    monkeypatch.setattr(finding, "drives", list)
    code, _, err = tinyllm(*verb, "--board", "pico", *options)
    assert code == 2
    assert err.startswith("error: no pico was found: ")
    assert err.endswith("Or say where it is with --port, or add --virtual.\n")


def test_a_virtual_board_is_not_offered_to_who_needs_the_real_one(
    tinyllm: Tinyllm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_ports, "comports", list)
    monkeypatch.setattr(finding, "drives", list)
    for command in (("flash", "--board", "pico"), ("run", "-p", "x", "--board", "pico", "--port", "auto")):
        assert tinyllm(*command)[2].endswith("Or say where it is with --port.\n")
    with pytest.raises(UserError, match=r"Or say where it is with --port\.$"):
        finding.find_board_port(replace(load_board("pico"), virtual=None), suggest_virtual=True)


@pytest.mark.parametrize(("content", "complaint"), [(b"", "no text in it"), (b"a\xff", "not UTF-8 at byte 1")])
def test_a_vocabulary_is_trimmed_to_a_text_alone(
    tinyllm: Tinyllm, tmp_path: Path, content: bytes, complaint: str
) -> None:
    (tmp_path / "text").write_bytes(content)
    code, _, err = tinyllm("build", "--trim-vocab", str(tmp_path / "text"))
    assert code == 2
    assert f"{tmp_path / 'text'}: {complaint}" in err


def test_the_switches_of_a_folder_are_refused_for_a_file(tinyllm: Tinyllm, tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(bytes(64))
    code, _, err = tinyllm("inspect", str(tmp_path / "model.bin"), "--layer-sharing")
    assert code == 2
    assert "share_embedding and layer_sharing are for Hugging Face folders" in err


@pytest.mark.parametrize(
    ("place", "complaint"),
    [
        ("thesis/chapter.tex", "thesis/chapter.tex is a file; give a folder for the project."),
        ("thesis/chapter.tex/project", "thesis/chapter.tex is a file; give a folder for the project."),
        ("thesis", "thesis holds other files; give an empty or new folder for the project."),
    ],
)
def test_a_build_into_what_is_no_folder_for_it_is_refused_before_anything_is_shown(
    tinyllm: Tinyllm, tmp_path: Path, place: str, complaint: str
) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.tex").write_text("years of work")
    code, out, err = tinyllm("build", "--context", "32", "-o", str(tmp_path / place))
    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == f"error: {tmp_path}/{complaint}"
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter.tex"]


def test_a_project_that_was_edited_is_refused_before_anything_is_shown(tinyllm: Tinyllm, tmp_path: Path) -> None:
    write_project(LanguageModel.read(None, LoadOptions(context=32)).emit("host"), tmp_path)
    (tmp_path / "src/model.c").write_text("mine")
    code, out, err = tinyllm("build", "--context", "32", "-o", str(tmp_path))
    assert (code, out) == (2, "")
    assert f"{tmp_path / 'src/model.c'}: edited since tinyllm wrote the project" in err


@pytest.mark.parametrize("verb", ["inspect", "fit", "build", "flash", "run", "chat", "verify", "eval", "bench"])
def test_every_verb_that_takes_a_model_takes_the_options_of_reading_it(tinyllm: Tinyllm, verb: str) -> None:
    shown = tinyllm(verb, "--help")[1]
    for option in ("--context", "--tokenizer", "--trim-vocab", "--share-embedding", "--no-layer-sharing"):
        assert option in shown


def raising(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


def test_a_failure_has_exit_code_1(tinyllm: Tinyllm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verbs_look, "load_boards", raising(Failure("the board went [away].")))
    assert tinyllm("boards") == (1, "", "error: the board went [away].\n")


def test_ctrl_c_has_exit_code_130_and_says_nothing(tinyllm: Tinyllm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verbs_look, "load_boards", raising(KeyboardInterrupt()))
    code, out, err = tinyllm("boards")
    assert (code, out, err.strip()) == (130, "", "")


def test_a_bug_is_one_line_with_its_place(tinyllm: Tinyllm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verbs_look, "load_boards", raising(RuntimeError("broken")))
    code, _, err = tinyllm("boards")
    assert code == 1
    assert "RuntimeError in test_cli.py:" in err
    assert "Traceback" not in err
    monkeypatch.setenv("TINYLLM_TRACEBACK", "1")
    assert "Traceback" in tinyllm("boards")[2]


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = [sys.executable, "-m", "tinyllm.host.cli.app", "boards"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate(timeout=60)
    assert err == b""


def test_every_module_can_be_imported_without_what_only_posix_has() -> None:
    # These choose their own modules by system, so they come first.
    code = "import sys, serial, serial.tools.list_ports, prompt_toolkit, platformio, subprocess, shutil, importlib\n"
    code += "sys.modules.update(dict.fromkeys(['termios', 'pty', 'tty', 'fcntl', 'grp', 'pwd', 'resource']))\n"
    code += "for module in sys.argv[1:]: importlib.import_module(f'tinyllm.host.{module}')"
    command = [sys.executable, "-c", code, *sorted({*MODULES} - {*OF_LINUX})]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


# --- Small things -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", RANGES)
@given(data=st.data())
def test_what_is_typed_is_what_is_shown(setting: protocol.Setting, data: st.DataObject) -> None:
    row = RANGES[setting]
    if row.unit is Unit.Q16:
        ten_thousandths = st.integers(math.ceil(row.minimum / ONE * 10_000), row.maximum * 10_000 // ONE)
        typed = f"{data.draw(ten_thousandths) / 10_000:.4f}"
    else:
        typed = str(data.draw(st.integers(row.minimum, row.maximum)))
    encoded = row.encode(row.parse(typed))
    shown = row.shown(encoded)
    assert abs(float(shown) - float(typed)) <= 1 / ONE
    assert row.encode(row.parse(shown)) == encoded == row.encode(float(typed))


@given(st.text())
def test_text_from_a_board_cannot_move_the_cursor(text: str) -> None:
    assert all(c.isprintable() or c in "\n\t" for c in printable(text))
    assert printable("\x1b[2Jé\u202e\x07\n") == "[2Jé\n"


def test_a_transcript_does_not_overwrite(tmp_path: Path) -> None:
    turns: dict[str, Any] = {"turns": [{"prompt": "Hello", "text": " there."}]}
    path = save_transcript(str(tmp_path / "talk.txt"), turns)
    assert path.read_text() == "> Hello\n there.\n\n"
    with pytest.raises(UserError, match="there is such a file already"):
        save_transcript(str(path), turns)
    assert json.loads(save_transcript(str(tmp_path / "talk.json"), turns).read_text()) == turns


def test_the_home_folder_is_where_the_environment_says(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert home() == own_home
    (own_home / "file").write_text("")
    monkeypatch.setenv("TINYLLM_HOME", str(own_home / "file"))
    with pytest.raises(UserError, match="Set TINYLLM_HOME to a folder of yours"):
        home()


def test_a_table_has_no_trailing_spaces_and_keeps_brackets(capsys: pytest.CaptureFixture[str]) -> None:
    Output().table(["a", "b"], [["[red]x", "1"], ["y", ""]])
    assert capsys.readouterr().out == "a        b\n[red]x   1\ny\n"


@pytest.mark.parametrize("columns", [80, 40, 20])
def test_the_bars_of_a_narrow_terminal_and_their_legend_fit_it(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Output, "columns", columns)
    parts = {"core": 3.0, "program": 2.0, "weights": 9.0, "vocabulary": 1.0, "free": 85.0}
    Output().bars([("int8", parts), ("mixed", parts)], ends=["9 KB free", "8 KB free"])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    assert " ".join(lines[:-2]).split() == ["c", "core", "p", "program", "w", "weights", "v", "vocabulary", "f", "free"]
    assert lines[-1].startswith("mixed") and lines[-1].endswith("8 KB free")
