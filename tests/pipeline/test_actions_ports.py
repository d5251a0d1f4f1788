"""What a real board does when a model makes a call: its [actions] table, and the port that follows it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.pipeline.real_boards import ARDUINO_STUB, CROSS, compile_to, include, write
from tests.pipeline.test_real_boards import DIALECTS, FLAVOURS, STRICT
from tests.unit import call_models
from tinyllm.boards.action_pins import ActionPins
from tinyllm.boards.description import FOLDER, load_board
from tinyllm.boards.reader import read_board
from tinyllm.codegen.arithmetic.quantize import quantize
from tinyllm.errors import UserError

ALL = ActionPins(led_pin=25, servo_pin=22, relay_pins=(2, 3), pins=(0, 40), temperature=True)
LOW = ActionPins(led_pin=21, led_active_low=True)
RGB = ActionPins(led_rgb_pin=48)


PINS = {"all": ALL, "LED lit by a low level": LOW, "addressable LED": RGB, "none": ActionPins()}
CORES = {
    "Pico": "rp2040",
    "ESP32 with an LED": "esp32",
    "Teensy": "imxrt1062",
    "ESP32 with Arduino core 3 and an addressable LED": "esp32c6",
}
"""A chip of each core. An addressable LED is known on the ESP32s alone."""


@pytest.mark.parametrize(
    ("flavour", "kind"),
    [(core, kind) for core in CORES for kind in PINS if PINS[kind] is not RGB or core.startswith("ESP32")],
)
def test_the_handlers_compile_without_a_warning(flavour: str, kind: str, tmp_path: Path) -> None:
    chip, pins = CORES[flavour], PINS[kind]
    board = replace(load_board("pico", FOLDER), actions=pins)
    project = write(quantize(call_models.call_model()), call_models.tokenizer(), board, tmp_path / "project")
    flags = [*pins.led_flags, *pins.call_flags]
    core = [flag for flag in FLAVOURS[flavour] if not flag.startswith("-DTL_LED")]
    assert all(flag in (project / "platformio.ini").read_text() for flag in flags)
    for source in ("port_actions.cpp", "arduino.cpp"):
        options = [DIALECTS[0], *STRICT, *core, *flags, *include(project), f"-I{ARDUINO_STUB}"]
        path = str(project / "src/port" / source)
        compile_to([*CROSS[chip].tool("g++"), *options, "-c", path, "-o", str(tmp_path / "port.o")])


def test_a_model_without_calls_gets_no_handlers(tmp_path: Path) -> None:
    model = call_models.call_model()
    plain = quantize(replace(model, config=replace(model.config, actions=None)))
    project = write(plain, call_models.tokenizer(), load_board("pico", FOLDER), tmp_path)
    assert not (project / "src/port/port_actions.cpp").exists()
    settings = (project / "platformio.ini").read_text()
    assert "TL_ACTION" not in settings
    assert "-DTL_LED_PIN=25 " in settings, "which is lit while it thinks"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("led_pin = 64", "actions.led_pin is 64, expected 0 to 63"),
        ("pins = [1, 1]", "actions.pins names a pin twice"),
        ('pins = ["a"]', "actions.pins holds 'a', expected pins from 0 to 63"),
        ("relay_pins = [0, 1, 2, 3, 4, 5, 6, 7, 8]", "actions.relay_pins are 9, expected at most 8"),
        ("temperature = 1", "actions.temperature is 1, expected true or false"),
        ("led_pin = 1\nled_rgb_pin = 2", "expected one LED"),
        ("led_active_low = true", "actions.led_active_low stands without led_pin, expected both"),
        ("buzzer_pin = 1", "actions.buzzer_pin is unknown"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, line: str, message: str) -> None:
    text = (FOLDER / "pico.toml").read_text()
    start, end = text.index("[actions]"), text.index("[platformio]")
    path = tmp_path / "mine.toml"
    path.write_text(f"{text[:start]}[actions]\n{line}\n{text[end:]}")
    with pytest.raises(UserError, match=message):
        read_board(path)
