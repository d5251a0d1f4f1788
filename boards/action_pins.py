"""The [actions] table of a board: the calls of a model that the board can carry out by itself, and their pins.

    led_pin          a plain LED, for led.set and led.blink; it is lit while any model thinks, also one without calls
    led_active_low   true: a low level lights the LED
    led_rgb_pin      in place of led_pin: an addressable LED (WS2812) on an ESP32
    servo_pin        the pin for servo.set
    relay_pins       the pins of relay 1, 2, ... for relay.set
    pins             the free pins, for pin.write
    temperature      true: sensor.read gives the temperature of the chip's own sensor

Calls that need a field that is not set go to the host.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tinyllm.boards.toml_table import TomlTable
from tinyllm.text import shown

HIGHEST_PIN = 63
MOST_RELAYS = 8
FIELDS = ("led_pin", "led_active_low", "led_rgb_pin", "servo_pin", "relay_pins", "pins", "temperature")


@dataclass(frozen=True)
class ActionPins:
    """Pin numbers of the Arduino core. None or (): the board has no such pin."""

    led_pin: int | None = None
    led_active_low: bool = False
    led_rgb_pin: int | None = None
    servo_pin: int | None = None
    relay_pins: tuple[int, ...] = ()
    pins: tuple[int, ...] = ()
    temperature: bool = False

    @property
    def led_flags(self) -> list[str]:
        """Compiler flags for firmware/ports/arduino/port_led.h. A model without calls gets them too."""
        values = {"PIN": self.led_pin, "ACTIVE_LOW": 1 if self.led_active_low else None, "RGB_PIN": self.led_rgb_pin}
        return _flags("TL_LED", values)

    @property
    def call_flags(self) -> list[str]:
        """Compiler flags for firmware/ports/arduino/port_actions.cpp."""
        values = {
            "SERVO_PIN": self.servo_pin,
            "RELAYS": ",".join(map(str, self.relay_pins)) or None,
            "PINS": f"{sum(1 << pin for pin in self.pins):#x}ULL" if self.pins else None,
            "TEMPERATURE": 1 if self.temperature else None,
        }
        return _flags("TL_ACTION", values)


def _flags(prefix: str, values: Mapping[str, object]) -> list[str]:
    return [f"-D{prefix}_{name}={value}" for name, value in values.items() if value is not None]


def action_pins(board: TomlTable) -> ActionPins | None:
    """Read a board's [actions] table; None if it has none. Raises UserError that names a wrong field."""
    table = board.table("actions", FIELDS)
    if table is None:
        return None
    if "led_pin" in table.values and "led_rgb_pin" in table.values:
        table.fail("led_rgb_pin", "stands beside led_pin, expected one LED")
    active_low = _yes(table, "led_active_low")
    if active_low and "led_pin" not in table.values:
        table.fail("led_active_low", "stands without led_pin, expected both")
    relays = _pins(table, "relay_pins")
    if len(relays) > MOST_RELAYS:
        table.fail("relay_pins", f"are {len(relays)}, expected at most {MOST_RELAYS}")
    led, rgb, servo = (table.optional(name, 0, HIGHEST_PIN) for name in ("led_pin", "led_rgb_pin", "servo_pin"))
    return ActionPins(led, active_low, rgb, servo, relays, _pins(table, "pins"), _yes(table, "temperature"))


def _yes(table: TomlTable, field: str) -> bool:
    value = table.values.get(field, False)
    if not isinstance(value, bool):
        table.fail(field, f"is {shown(value)}, expected true or false")
    return bool(value)


def _pins(table: TomlTable, field: str) -> tuple[int, ...]:
    values = table.take(field, list, [])
    for value in values:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= HIGHEST_PIN:
            table.fail(field, f"holds {shown(value)}, expected pins from 0 to {HIGHEST_PIN}")
    if len(set(values)) < len(values):
        table.fail(field, "names a pin twice")
    return tuple(values)
