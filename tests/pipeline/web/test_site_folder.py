"""The static site: its size, what it loads, the images that PlatformIO leaves, and the verb that writes it."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.pipeline.real_boards import write
from tinyllm.boards.description import FOLDER, load_board
from tinyllm.codegen.arithmetic.float_model import Model
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.emit.project import Project, emit_project
from tinyllm.codegen.tokenizers import Tokenizer
from tinyllm.errors import Failure
from tinyllm.host.build.platformio import run_target
from tinyllm.host.build.registry import registry_trouble
from tinyllm.host.cli.app import run as tinyllm
from tinyllm.host.web.images import BUILD_FACTS, UF2, chip_parts, image_of
from tinyllm.host.web.site import PAGE, SITE, make_site

LARGEST_BUNDLE = 300_000
LICENCES = "vendor/LICENSES.txt"
# What the builders of platform-espressif32 and of Arduino say of an ESP32-C3, in the words of PlatformIO.
BUILDER = """
Import("env")
env.Append(FLASH_EXTRA_IMAGES=[
    ("0x0000", "$BUILD_DIR/bootloader.bin"),
    ("0x8000", "$BUILD_DIR/partitions.bin"),
    ("0xe000", "$PROJECT_DIR/boot_app0.bin"),
])
env["INTEGRATION_EXTRA_DATA"].update({"application_offset": "0x10000"})
"""
BOOT = {"bootloader.bin": b"B" * 16_000, "partitions.bin": b"P" * 3072, "boot_app0.bin": b"A" * 8192}


@pytest.fixture(scope="module")
def project(stories: Model, stories_tokenizer: Tokenizer) -> Project:
    return emit_project(quantize(stories, 64), stories_tokenizer, load_board("esp32c3", FOLDER))


def test_the_page_has_less_than_300_kb() -> None:
    files = {name: len(content) for name, content in make_site([]).files.items() if name != LICENCES}
    assert sum(files.values()) < LARGEST_BUNDLE, files


def test_the_page_loads_its_own_files_alone() -> None:
    for path in PAGE.glob("*.*"):
        text = path.read_text("utf-8")
        loaded = re.findall(r'(?:from|import\(|src=|href=|fetch\(|register\()\s*"([^"]+)"', text)
        assert all((PAGE / name).is_file() or name == SITE for name in loaded), (path.name, loaded)
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", ""), path.name


def test_the_licences_name_the_bundle_that_lies_beside_them() -> None:
    said = (PAGE / LICENCES).read_text("utf-8")
    assert hashlib.sha256((PAGE / "vendor/esptool.js").read_bytes()).hexdigest() in said


def test_an_image_has_the_parts_and_offsets_that_platformio_would_upload(
    project: Project, stories: Model, stories_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    """PlatformIO's own facts of a build, whose builder is told what the real platform's says."""
    folder = write(quantize(stories, 64), stories_tokenizer, project.board.twin(), tmp_path / "project")
    (folder / "builder.py").write_text(BUILDER)
    ini = (folder / "platformio.ini").read_text("utf-8")
    (folder / "platformio.ini").write_text(
        ini.replace("esp32c3-virtual", "esp32c3") + "extra_scripts = pre:builder.py\n", "utf-8"
    )
    run_target(folder, "esp32c3", BUILD_FACTS)  # PlatformIO empties the folder of a build that it does not know
    build = folder / ".pio/build/esp32c3"
    for name, content in BOOT.items():
        (folder if name == "boot_app0.bin" else build).joinpath(name).write_bytes(content)
    (build / "firmware.bin").write_bytes(b"F" * 50_000)
    image = image_of(project, folder, build)
    assert [(part.name, part.offset) for part in image.parts] == [
        ("bootloader.bin", 0),
        ("partitions.bin", 0x8000),
        ("boot_app0.bin", 0xE000),
        ("firmware.bin", 0x10000),
    ]
    assert image.files["boot_app0.bin"] == BOOT["boot_app0.bin"]
    (made,) = image.manifest("1")["builds"]
    assert made["chipFamily"] == "ESP32-C3"
    whole = hashlib.md5(image.files["firmware.bin"], usedforsecurity=False).hexdigest()
    assert made["parts"][3] == {"path": "firmware.bin", "offset": 65536, "md5": whole}
    site = make_site([image])
    assert set(site.document["boards"][0]["image"]) == {"manifest", "build_id", "model_hash"}


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ([("0x0", "missing.bin")], r"missing\.bin: no such file"),
        ([("0xfff0", "boot.bin")], r"boot\.bin reaches into firmware\.bin"),
        ([("0x0", "firmware.bin")], "two parts of the image have one name"),
        ([("here", "boot.bin")], "PlatformIO does not say where the parts of the image go"),
        (None, "PlatformIO does not say where the parts of the image go"),
    ],
)
def test_parts_that_do_not_fit_together_make_no_image(
    images: list[tuple[str, str]] | None, said: str, project: Project, tmp_path: Path
) -> None:
    for name in ("boot.bin", "firmware.bin"):
        (tmp_path / name).write_bytes(bytes(100))
    extra: dict[str, object] = {"application_offset": "0x10000"}
    if images is not None:
        extra["flash_images"] = [{"offset": offset, "path": path} for offset, path in images]
    with pytest.raises(Failure, match=said):
        chip_parts(project, {"extra": extra}, tmp_path)


def test_the_image_of_a_pico_is_its_uf2(project: Project, tmp_path: Path) -> None:
    (tmp_path / UF2).write_bytes(b"UF2\n")
    pico = replace(project, board=load_board("pico2", FOLDER))
    assert image_of(pico, tmp_path, tmp_path).files == {UF2: b"UF2\n"}


def test_the_verb_writes_a_site_and_writes_it_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "site"
    assert tinyllm(["web", "-o", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"boards": [], "missing": {}, "site": str(folder)}
    (folder / "images/esp32").mkdir(parents=True)
    assert tinyllm(["web", "-o", str(folder)]) == 0
    assert {path.name for path in folder.iterdir()} == {path.name for path in PAGE.iterdir()} | {SITE, "images"}
    assert not (folder / "images/esp32").exists(), "an image that no page offers any more"
    listed = json.loads((folder / SITE).read_text("utf-8"))["files"]
    assert all((folder / name).exists() for name in listed)


def test_a_board_that_cannot_be_built_here_does_not_keep_the_next_from_being_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without their platforms and without a network none can; with one of them the site would be written."""
    monkeypatch.setenv("TINYLLM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    registry_trouble.cache_clear()
    assert tinyllm(["web", "--boards", "pico2,esp32s3", "-o", str(tmp_path / "site")]) == 1
    said = capsys.readouterr().err
    registry_trouble.cache_clear()
    assert "pico2" in said and "esp32s3" in said
    assert "Write the site on a machine with internet." in said
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["chat", "-o", "site"], "MODEL is for --boards and --serve"),
        ([], "say where the site goes (-o DIR), or --serve"),
        (["-o", "site", "--virtual"], "--board, --virtual and --port name the board behind a served page"),
        (["-o", "site", "--boards", "host"], "--boards host: a page can flash Picos and ESP32s alone"),
        (["-o", "site", "--boards", "esp32s4"], "unknown board 'esp32s4'. Did you mean"),
        (["-o", "site", "--boards", " ,"], "--boards names no board"),
        (["-o", "full"], "full holds other files; give an empty or new folder"),
        (["-o", "full/file"], "full/file is a file; give a folder"),
    ],
)
def test_what_the_verb_cannot_do_is_said_and_nothing_is_written(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    assert tinyllm(["web", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"full"}
