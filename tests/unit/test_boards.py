"""Board descriptions: what ships is readable, and a wrong file says which field is wrong."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from platformio.package.meta import PackageSpec

from tinyllm.boards.board import Bandwidth, Board, Cycles, Memory, Power, Reserve, UsbId
from tinyllm.boards.description import (
    BOARDS_DIR,
    FIRMWARE,
    FOLDER,
    OWN_PLATFORM,
    board_names,
    in_order,
    load_board,
    load_boards,
)
from tinyllm.boards.reader import LARGEST_FILE, read_board
from tinyllm.codegen.memory.plan import CODE_BYTES
from tinyllm.errors import UserError

PORT_VARIABLES = 2048
"""What a port's own variables may take of a twin's RAM."""

PICO = """\
description = "A Pico"
chip = "rp2040"
instruction_set = "armv6m"
cores = 2
clock_mhz = 133
ports = ["arduino"]

[memory]
flash = 2097152
sram = 270336

[[usb]]
vid = 0x2e8a
pid = 0x000a

[platformio]
platform = "raspberrypi"
board = "pico"
framework = "arduino"
"""


@pytest.fixture
def pico(tmp_path: Path) -> Path:
    path = tmp_path / "pico.toml"
    path.write_text(PICO)
    return path


def test_every_board_that_ships_can_be_read() -> None:
    assert [board.name for board in load_boards()] == board_names()


def test_everyone_has_the_host_board() -> None:
    host = load_board("host")
    assert (host.instruction_set, host.memory, host.clock_mhz, host.usb) == ("host", None, None, ())


def test_a_board_is_what_its_file_says(pico: Path) -> None:
    board = read_board(pico)
    assert board == Board(
        name="pico",
        description="A Pico",
        chip="rp2040",
        instruction_set="armv6m",
        cores=2,
        clock_mhz=133,
        memory=Memory(flash=2097152, sram=270336, psram=0, app=2097152, static=270336),
        usb=(UsbId(0x2E8A, 0x000A),),
        platformio=board.platformio,
        ports=("arduino",),
    )
    assert dict(board.platformio) == {"platform": "raspberrypi", "board": "pico", "framework": "arduino"}


def test_a_board_cannot_be_changed_after_reading(pico: Path) -> None:
    board = read_board(pico)
    with pytest.raises(FrozenInstanceError):
        board.cores = 3  # type: ignore[misc]
    with pytest.raises(TypeError):
        board.platformio["board"] = "other"  # type: ignore[index]


@pytest.mark.parametrize(
    ("was", "becomes", "complaint"),
    [
        ('chip = "rp2040"\n', "", "chip is missing, expected a text"),
        ("cores = 2", "cores = 0", "cores is 0, expected 1 to 64"),
        ("cores = 2", 'cores = "two"', "cores is 'two', expected a whole number"),
        ("cores = 2", "cores = true", "cores is True, expected a whole number"),
        ('"armv6m"', '"6502"', "instruction_set is '6502', expected one of generic"),
        ("clock_mhz = 133", "clock = 133", "clock is unknown, expected one of like, description"),
        ("sram = 270336\n", "", "memory.sram is missing"),
        ("flash = 2097152", "flash = -1", "memory.flash is -1"),
        ("vid = 0x2e8a", "vid = 0x12e8a", "usb[0].vid is 77450, expected 0 to 65535"),
        ("[[usb]]", "[usb]", "usb is {'pid': 10, 'vid': 11914}, expected a list"),
        ('board = "pico"\n', "", "platformio.board is missing"),
        ('framework = "arduino"', "framework = 1", "platformio.framework is 1, expected a text"),
        ('ports = ["arduino"]\n', "", "ports is missing, expected a list"),
        ('"arduino"]', "7]", "ports is [7], expected a list of names"),
        (
            '"arduino"]',
            '"../../etc"]',
            "ports is ['../../etc'], expected a list of names of folders below firmware/ports",
        ),
        ("sram = 270336", "sram = 270336\nstatic = 270337", "memory.static is 270337, expected 1 to 270336"),
        ("sram = 270336", "sram = 270336\napp = 4194304", "memory.app is 4194304, expected 1 to 2097152"),
        ('framework = "arduino"', 'framework = """a\nb"""', "platformio.framework holds a line break"),
        ('framework = "arduino"', '"frame work" = "arduino"', "platformio.'frame work' is no option of PlatformIO"),
        ('framework = "arduino"', 'a.b.c.d.e.f.g = "1"', "platformio.a.b.c.d.e is {'f': {'g': '1'}}, expected a text"),
        ("cores = 2", "cores = ", "not a readable TOML file"),
        (
            'instruction_set = "armv6m"\n',
            "",
            "instruction_set is missing, expected one of generic, armv6m, armv8m, rv32, xtensa, xtensa_s3",
        ),
        ('"armv6m"', "6", "instruction_set is 6, expected one of generic"),
        ('"A Pico"', '""', "description is empty, expected a text"),
        ('"A Pico"', '"A\\nPico"', "description holds a line break"),
        ('chip = "rp2040"', 'chip = " "', "chip is empty, expected a text"),
        ('"arduino"]', '"nosuch"]', "ports names 'nosuch', expected folders of firmware/ports: arduino, bare, "),
        ('"raspberrypi"', '""', "platformio.platform is empty, expected a text"),
        ('"raspberrypi"', '"@"', "platformio.platform is '@', expected the name or address of a platform"),
        ('"raspberrypi"', '"a/b@^^^"', "platformio.platform is 'a/b@^^^', which PlatformIO cannot read: "),
        ('"raspberrypi"', '"https://["', "platformio.platform is 'https://[', which PlatformIO cannot read: "),
        ('board = "pico"', 'board = ""', "platformio.board is empty, expected a text"),
        ('"raspberrypi"', '"tinyllm"', "platformio.board is 'pico', expected one of esp32c3, host, lx106, "),
    ],
)
def test_a_wrong_file_is_named_with_the_field_that_is_wrong(pico: Path, was: str, becomes: str, complaint: str) -> None:
    assert was in PICO
    pico.write_text(PICO.replace(was, becomes))
    with pytest.raises(UserError) as error:
        read_board(pico)
    assert str(pico) in str(error.value)
    assert complaint in str(error.value)


FIGURES = """
[reserve]
flash = 1000
ram = 2000
source = "estimated"

[bandwidth]
flash = 18
source = "measured by others"

[cycles]
per_instruction = 1.4
source = "counted"

[power]
busy_mw = 90
source = "the datasheet"
"""


def test_figures_come_with_their_source(pico: Path) -> None:
    pico.write_text(PICO.replace("[platformio]", FIGURES + "[platformio]"))
    board = read_board(pico)
    assert board.reserve == Reserve(flash=1000, ram=2000, source="estimated")
    assert board.bandwidth == Bandwidth(flash=18, sram=None, psram=None, source="measured by others")
    assert board.cycles == Cycles(per_instruction=1.4, source="counted")
    assert board.power == Power(busy_mw=90, source="the datasheet")


@pytest.mark.parametrize("table", ["reserve", "bandwidth", "cycles", "power"])
def test_a_figure_without_a_source_is_refused(pico: Path, table: str) -> None:
    before, after = FIGURES.split(f"[{table}]")
    unsourced = before + f"[{table}]" + re.sub(r"source = .*\n", "", after, count=1)
    pico.write_text(PICO.replace("[platformio]", unsourced + "[platformio]"))
    with pytest.raises(UserError, match=rf"{table}\.source is missing, expected a text"):
        read_board(pico)


UNKNOWN = {"esp32p4": {"cycles", "power", "psram", "virtual"}, "teensy41": {"virtual"}}
"""By board, what nobody has told, or what no emulator is."""


@pytest.mark.parametrize(
    "board", [board for board in load_boards(FOLDER) if board.memory], ids=lambda board: board.name
)
def test_a_board_that_ships_tells_all_that_there_is_to_tell(board: Board) -> None:
    assert board.memory and board.reserve and board.bandwidth and board.clock_mhz and board.usb
    assert board.bandwidth.flash and board.bandwidth.sram
    told = {"cycles": board.cycles, "power": board.power, "virtual": board.virtual}
    told |= {"psram": board.bandwidth.psram} if board.memory.psram else {}
    assert {name for name, value in told.items() if value is None} == UNKNOWN.get(board.name, set())
    assert board.memory.psram or not board.bandwidth.psram
    assert board.reserve.ram < board.memory.static <= board.memory.sram
    assert board.reserve.flash < board.memory.app <= board.memory.flash


def test_dotted_options_are_written_as_platformio_has_them(pico: Path) -> None:
    option = 'board_build.arduino.memory_type = "qio_opi"\n"board_build.partitions" = "huge_app.csv"\n'
    pico.write_text(PICO + option)
    options = read_board(pico).platformio
    assert options["board_build.arduino.memory_type"] == "qio_opi"
    assert options["board_build.partitions"] == "huge_app.csv"


VIRTUAL = """
[virtual]
emulator = "unicorn"
ports = ["bare", "rp2040"]

[virtual.platformio]
platform = "tinyllm"
board = "rp2040"
"""


def test_a_virtual_twin_is_the_same_board_built_for_an_emulator(pico: Path) -> None:
    pico.write_text(PICO + VIRTUAL)
    board = read_board(pico)
    twin = board.twin()
    assert (twin.name, twin.emulator, twin.ports) == ("pico-virtual", "unicorn", ("bare", "rp2040"))
    assert dict(twin.platformio) == {"platform": "tinyllm", "board": "rp2040"}
    assert (twin.memory, twin.instruction_set) == (board.memory, board.instruction_set)
    assert twin.usb == ()


@pytest.mark.parametrize(("line", "cores"), [("", 1), ("cores = 2", 2)])
def test_as_many_cores_of_a_virtual_twin_compute_as_its_description_says(pico: Path, line: str, cores: int) -> None:
    pico.write_text(PICO + VIRTUAL.replace("[virtual]", f"[virtual]\n{line}"))
    assert read_board(pico).twin().cores == cores


def test_a_virtual_twin_has_the_memory_that_the_framework_would_take(pico: Path) -> None:
    limits = "sram = 270336\napp = 1000000\nstatic = 200000"
    text = PICO.replace("sram = 270336", limits).replace("[platformio]", FIGURES + "[platformio]")
    pico.write_text(text + VIRTUAL)
    twin = read_board(pico).twin()
    assert twin.memory and (twin.memory.app, twin.memory.static) == (twin.memory.flash, twin.memory.sram)
    assert twin.reserve is None


def test_a_virtual_twin_has_less_if_its_description_says_so(pico: Path) -> None:
    limits = "[virtual.memory]\napp = 2000000\nstatic = 250000\n\n[virtual.platformio]"
    pico.write_text(PICO + VIRTUAL.replace("[virtual.platformio]", limits))
    twin = read_board(pico).twin()
    assert twin.memory == Memory(flash=2097152, sram=270336, psram=0, app=2000000, static=250000)


def test_limits_of_a_twin_need_a_board_with_memory(pico: Path) -> None:
    text = PICO.replace("[memory]\nflash = 2097152\nsram = 270336\n", "")
    pico.write_text(text + VIRTUAL + "\n[virtual.memory]\nstatic = 250000\n")
    with pytest.raises(UserError, match=r"virtual\.memory needs \[memory\], which is missing"):
        read_board(pico)


@pytest.mark.parametrize(
    "board", [board for board in load_boards(FOLDER) if board.virtual], ids=lambda board: board.name
)
def test_a_virtual_twin_that_ships_has_the_memory_that_its_linker_script_defines(board: Board) -> None:
    twin = board.twin()
    assert twin.memory and twin.memory.psram == 0
    regions, stack = linker_script(twin)
    assert board.memory and twin.memory.app == min(regions["CONSTANTS"], board.memory.flash)
    assert 0 <= regions["RAM"] - stack - twin.memory.static <= PORT_VARIABLES
    assert regions["CODE"] >= CODE_BYTES


def linker_script(twin: Board) -> tuple[dict[str, int], int]:
    """Bytes of each region of the twin's link.ld, by its aliases too, and of its stacks."""
    sources = [path.read_text() for port in twin.ports for path in sorted((FIRMWARE / "ports" / port).iterdir())]
    (script,) = (source for source in sources if "\nMEMORY\n" in source)
    regions = {name: size(length) for name, length in re.findall(r"^ +(\w+) .*LENGTH = ([^/}\n]+)", script, re.M)}
    regions |= {alias: regions[name] for alias, name in re.findall(r'REGION_ALIAS\("(\w+)", (\w+)\)', script)}
    words = re.findall(r"#define STACK_WORDS (\d+)u", "".join(sources)) if twin.cores > 1 else []
    (stack,) = re.findall(r"TL_STACK_SIZE = (\w+);", script)
    return regions, size(stack) + sum(4 * int(count) for count in words)


def size(text: str) -> int:
    """A length as linker scripts have it: 384K - 0x2400."""
    first, *less = (term.strip() for term in text.split("-"))
    units = {"K": 1024, "M": 1024**2}
    whole = int(first.rstrip("KM"), 0) * units.get(first[-1], 1)
    return whole - sum(int(term, 0) for term in less)


def test_an_upload_goes_to_the_port_of_an_esp32_and_not_of_a_pico_or_a_teensy() -> None:
    names = ("esp32", "esp32c3", "xiao-esp32s3", "pico", "pico2", "teensy41", "host")
    assert [name for name in names if load_board(name).uploads_to_port] == ["esp32", "esp32c3", "xiao-esp32s3"]


def test_a_board_without_a_twin_says_so(pico: Path) -> None:
    with pytest.raises(UserError, match="board pico has no virtual twin"):
        read_board(pico).twin()


@pytest.mark.parametrize(
    ("was", "becomes", "complaint"),
    [
        ('"unicorn"', '"dosbox"', "virtual.emulator is 'dosbox', expected one of unicorn, qemu"),
        ("emulator = ", "emulater = ", "virtual.emulater is unknown"),
        ('platform = "tinyllm"\nboard = "rp2040"', 'board = "x"', "virtual.platformio.platform is missing"),
        ('board = "rp2040"', 'board = "rp9999"', "virtual.platformio.board is 'rp9999', expected one of esp32c3, "),
        ('board = "rp2040"\n', "", "virtual.platformio.board is missing, expected one of esp32c3, "),
        ('emulator = "unicorn"\n', "", "virtual.emulator is missing, expected one of unicorn, qemu"),
        (
            '["bare", "rp2040"]',
            '["bare", "rp9999"]',
            "virtual.ports names 'rp9999', expected folders of ",
        ),
        ("[virtual.platformio]", "memory.ram = 1\n[virtual.platformio]", "virtual.memory.ram is unknown"),
        ("[virtual.platformio]", "memory.static = 270337\n[virtual.platformio]", "expected 1 to 270336"),
    ],
)
def test_a_wrong_twin_is_named_with_the_field_that_is_wrong(pico: Path, was: str, becomes: str, complaint: str) -> None:
    assert was in VIRTUAL
    pico.write_text(PICO + VIRTUAL.replace(was, becomes))
    with pytest.raises(UserError) as error:
        read_board(pico)
    assert str(pico) in str(error.value)
    assert complaint in str(error.value)


def test_bytes_that_are_no_text_are_refused(pico: Path) -> None:
    pico.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"pico\.toml: not a readable TOML file"):
        read_board(pico)


def test_an_unknown_board_suggests_the_near_name(pico: Path) -> None:
    with pytest.raises(UserError, match=r"unknown board 'pic0'\. Did you mean pico\?"):
        load_board("pic0", pico.parent)


def test_a_name_like_no_other_lists_the_boards(pico: Path) -> None:
    with pytest.raises(UserError, match=r"Known boards: pico\."):
        load_board("commodore64", pico.parent)


@pytest.mark.parametrize("name", ["", "../boards/host", "/etc/passwd", "host\n"])
def test_a_name_cannot_leave_the_folder(name: str) -> None:
    with pytest.raises(UserError, match="unknown board"):
        load_board(name)


# --- A board that is like another ---


def like(folder: Path, text: str, name: str = "mine") -> Path:
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


def test_a_board_like_another_has_what_it_does_not_say_from_there(pico: Path) -> None:
    path = like(pico.parent, 'like = "pico"\ncores = 1\n[memory]\nflash = 4096\nsram = 2048\n')
    board, other = read_board(path), read_board(pico)
    assert (board.name, board.cores, board.chip, board.usb) == ("mine", 1, "rp2040", other.usb)
    assert board.memory == Memory(flash=4096, sram=2048, psram=0, app=4096, static=2048)


def test_its_platformio_options_stand_in_for_those_of_the_other_one_by_one(pico: Path) -> None:
    path = like(pico.parent, 'like = "pico"\n[platformio]\nboard = "other"\nmonitor_dtr = "0"\n')
    assert dict(read_board(path).platformio) == {
        "platform": "raspberrypi",
        "board": "other",
        "framework": "arduino",
        "monitor_dtr": "0",
    }


def test_it_may_be_like_one_that_is_like_a_third_and_like_one_of_ours_of_its_own_name(tmp_path: Path) -> None:
    like(tmp_path, 'like = "pico"\ndescription = "Mine"\n', "pico")
    last = read_board(like(tmp_path, 'like = "pico"\nclock_mhz = 200\n'))
    assert (last.description, last.clock_mhz, last.chip) == ("Mine", 200, "rp2040")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('like = "pic0"', "mine.toml: like is 'pic0', expected a board of ours, or one whose file lies beside this"),
        ('like = "../pico"', "like is '../pico', expected a board of ours"),
        ('like = "mine"', "like is 'mine', expected a board of ours"),
        ("like = 7", "mine.toml: like is 7, expected a text"),
        ('like = "pico"\ncores = 0', "mine.toml: cores is 0"),
        ('like = "pico"\nplatformio = 5', "mine.toml: platformio is 5, expected a table"),
        ('like = "wrong"', "wrong.toml: cores is 0"),
        ('like = "first"', "second.toml: like is 'first', which is itself like this board"),
    ],
)
def test_a_wrong_likeness_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    like(tmp_path, PICO.replace("cores = 2", "cores = 0"), "wrong")
    like(tmp_path, 'like = "second"', "first")
    like(tmp_path, 'like = "first"', "second")
    with pytest.raises(UserError) as error:
        read_board(like(tmp_path, text))
    assert complaint in str(error.value)


# --- A user's own boards ---


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, without boards of its own."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv(BOARDS_DIR, raising=False)
    return folder


def test_a_board_in_a_users_folder_is_one_more_board(
    elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = board_names()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/feather.toml").write_text(PICO)
    monkeypatch.setenv(BOARDS_DIR, str(tmp_path / "mine"))
    assert board_names() == sorted([*ours, "feather"], key=in_order)
    assert load_board("feather").description == "A Pico"
    assert {board.name for board in load_boards()} == {*ours, "feather"}


def test_a_project_may_bring_boards_and_its_own_idea_of_ours(elsewhere: Path) -> None:
    (elsewhere / "boards").mkdir()
    (elsewhere / "boards/pico.toml").write_text(PICO)
    (elsewhere / "boards/feather.toml").write_text(PICO)
    assert load_board("pico").description == "A Pico"
    assert load_board("feather").chip == "rp2040"
    assert load_board("host").chip == "host"


def test_the_folder_that_was_named_comes_before_the_projects(
    elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, text in ((elsewhere / "boards", "The project's"), (tmp_path / "mine", "Mine")):
        folder.mkdir()
        (folder / "feather.toml").write_text(PICO.replace("A Pico", text))
    monkeypatch.setenv(BOARDS_DIR, str(tmp_path / "mine"))
    assert load_board("feather").description == "Mine"


def test_a_folder_of_boards_without_any_is_named(
    elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv(BOARDS_DIR, str(tmp_path / "empty"))
    with pytest.raises(UserError, match=r"empty: no board TOML in it; --boards-dir"):
        load_boards()


def test_a_folder_of_boards_that_is_not_there_is_named(
    elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(BOARDS_DIR, str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"nowhere: no such folder; --boards-dir"):
        load_boards()


@pytest.mark.parametrize("name", ["my board", "größe", "-x", 'x"y', "x" * 32])
def test_a_name_that_c_and_platformio_could_not_hold_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.toml"
    path.write_text(PICO)
    with pytest.raises(UserError, match="a board's file name is its name"):
        read_board(path)


def test_a_file_far_too_large_for_a_board_is_not_read(pico: Path) -> None:
    pico.write_text(PICO + "#" * LARGEST_FILE)
    with pytest.raises(UserError, match="expected at most 65,536"):
        read_board(pico)


def test_tables_nested_without_end_are_refused(pico: Path) -> None:
    pico.write_text(PICO + "x = " + "[" * 20_000)
    with pytest.raises(UserError, match="not a readable TOML file"):
        read_board(pico)


REQUIREMENTS = st.text("0123456789.x*^~<>=!, -+ab", max_size=8)
PLATFORMS = st.one_of(
    st.text("ab1.-_/@=:#~^*. ", max_size=16),
    st.builds(
        "{}@{}".format, st.sampled_from(["espressif32", "platformio/espressif32", "https://x.org/y"]), REQUIREMENTS
    ),
    st.builds("https://{}".format, st.text("ab./#@[]:", max_size=12)),
)


@settings(max_examples=300)
@example(platform="#@/1:")
@example(platform="1:#/")
@example(platform="https:///a/#")
@example(platform="espressif32@<*")
@example(platform="espressif32@0, 0")
@given(platform=PLATFORMS)
def test_a_platform_that_is_accepted_is_one_that_platformio_reads(
    platform: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "platform.toml"
    path.write_text(PICO.replace('"raspberrypi"', f'"{platform}"'), encoding="utf-8")
    try:
        read_board(path)
    except UserError:
        return
    if platform != OWN_PLATFORM:
        assert PackageSpec(platform).name


@pytest.mark.parametrize(
    "platform",
    [
        "espressif32",
        "platformio/espressif32@^6.10.0",
        "espressif32 @ ~6.10",
        "espressif32@>=6.1,<7",
        "espressif32@*",
        "espressif32@6.*",
        "https://github.com/maxgerhardt/platform-raspberrypi.git#2d44502",
        "git@github.com:me/platform.git",
        "mine=https://example.org/platform.zip",
        "symlink:///home/me/platform",
        "/home/me/platform",
        "./platform",
    ],
)
def test_names_and_addresses_of_platforms_are_accepted(platform: str, pico: Path) -> None:
    pico.write_text(PICO.replace('"raspberrypi"', f'"{platform}"'))
    assert PackageSpec(platform).name
    assert read_board(pico).platformio["platform"] == platform


@given(text=st.text(max_size=400))
def test_no_text_makes_anything_but_a_board_or_an_error_of_the_users(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "hostile.toml"
    path.write_text(PICO + text, encoding="utf-8")
    try:
        assert read_board(path).chip == "rp2040"
    except UserError as error:
        assert str(path) in str(error)
