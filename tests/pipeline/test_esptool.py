"""esptool writes a chip's image through PlatformIO's upload target, and a mock of the ROM loader takes it.

A check of the command line and of the conversation with the loader; what the flash then does is for the virtual boards.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import skip_unless_ci
from tests.pipeline.real_boards import CROSS, write
from tinyllm.boards.description import FOLDER, load_board
from tinyllm.codegen.arithmetic.float_model import Model
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.codegen.tokenizers import Tokenizer
from tinyllm.errors import Failure
from tinyllm.host.build.platformio import run

try:
    from esp32_mock_bootloader import mock_bootloader
except ImportError:
    mock_bootloader = None

APP = "0x10000"
"""Where every partition table of ours has the app."""

# As platform-espressif32 6.13 writes them for esp32-c3-devkitm-1 (builder/main.py), in the words of esptool 5.
FLASH = "--flash-mode dio --flash-freq 80m --flash-size 4MB"
IMAGE = f"elf2image {FLASH} -o firmware.bin $SOURCE"
WRITE = f"--before default-reset --after hard-reset write-flash -z {FLASH} {APP} firmware.bin"


@pytest.fixture(scope="module")
def project(stories: Model, stories_tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The virtual ESP32-C3's project, whose program lies where the chip maps its flash, uploaded by esptool."""
    if mock_bootloader is None:
        skip_unless_ci("esp32-mock-bootloader is not installed")
    CROSS["esp32c3"].tool("gcc")
    twin = load_board("esp32c3", FOLDER).twin()
    folder = write(quantize(stories, 64), stories_tokenizer, twin, tmp_path_factory.mktemp("chip") / "project")
    esptool = '"$PYTHONEXE" -m esptool --chip esp32c3'
    command = f"{esptool} {IMAGE} && {esptool} --port $UPLOAD_PORT --baud 460800 {WRITE}"
    with (folder / "platformio.ini").open("a") as ini:
        ini.write(f"upload_protocol = custom\nupload_command = {command}\n")
    return folder


@pytest.fixture(params=["esp32c3"])
def loader(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a chip that waits for a program."""
    with mock_bootloader(chip=request.param) as chip:
        yield chip.url()


def test_the_image_is_written_and_reads_back(project: Path, loader: str) -> None:
    run(project, "esp32c3-virtual", targets=["upload"], upload_port=loader)
    image = project / "firmware.bin"
    assert image.read_bytes()[0] == 0xE9, "the magic number of an image, ESP-IDF, app image format"
    verify = ["--chip", "esp32c3", "--port", loader, "verify-flash", APP, str(image)]
    told = subprocess.run([sys.executable, "-m", "esptool", *verify], capture_output=True, text=True, timeout=60)
    assert "Verification successful" in told.stdout


@pytest.mark.parametrize("loader", ["esp32s3"], indirect=True)
def test_another_chip_on_the_port_is_a_failure_that_names_it(project: Path, loader: str) -> None:
    with pytest.raises(Failure, match="This chip is ESP32-S3, not ESP32-C3"):
        run(project, "esp32c3-virtual", targets=["upload"], upload_port=loader)
