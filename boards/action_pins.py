"""The [actions] table of a board: what it can do by itself when a model makes a call.

    led_pin       a plain LED, for led.set and led.blink
    led_rgb_pin   an addressable one (WS2812), in its place
    servo_pin     servo.set
    relay_pins    relay.set: the pins of relay 1, 2, ...
    pins          pin.write: those that are free
    temperature   true: sensor.read gives that of the chip's own sensor

Calls that need what is not named here go to the host.
"""

from __future__ import annotations

from dataclasses import dataclass

from tinyllm.boards.toml_table import TomlTable
from tinyllm.text import shown

HIGHEST_PIN = 63
MOST_RELAYS = 8
FIELDS = ("led_pin", "led_rgb_pin", "servo_pin", "relay_pins", "pins", "temperature")


@dataclass(frozen=True)
class ActionPins:
    """Numbers of pins as the Arduino core has them; None and () for what a board does not have."""

    led_pin: int | None = None
    led_rgb_pin: int | None = None
    servo_pin: int | None = None
    relay_pins: tuple[int, ...] = ()
    pins: tuple[int, ...] = ()
    temperature: bool = False

    @property
    def flags(self) -> list[str]:
        """For the compiler, as firmware/ports/arduino/port_actions.cpp takes them."""
        values: dict[str, object] = {
            "LED_PIN": self.led_pin,
            "LED_RGB_PIN": self.led_rgb_pin,
            "SERVO_PIN": self.servo_pin,
            "RELAYS": ",".join(map(str, self.relay_pins)) or None,
            "PINS": f"{sum(1 << pin for pin in self.pins):#x}ULL" if self.pins else None,
            "TEMPERATURE": 1 if self.temperature else None,
        }
        return [f"-DTL_ACTION_{name}={value}" for name, value in values.items() if value is not None]


def action_pins(board: TomlTable) -> ActionPins | None:
    """The table of a board; None if there is none. UserError naming the field that is wrong."""
    table = board.table("actions", FIELDS)
    if table is None:
        return None
    if "led_pin" in table.values and "led_rgb_pin" in table.values:
        table.fail("led_rgb_pin", "stands beside led_pin, expected one LED")
    temperature = table.values.get("temperature", False)
    if not isinstance(temperature, bool):
        table.fail("temperature", f"is {shown(temperature)}, expected true or false")
    relays = _pins(table, "relay_pins")
    if len(relays) > MOST_RELAYS:
        table.fail("relay_pins", f"are {len(relays)}, expected at most {MOST_RELAYS}")
    led, rgb, servo = (table.optional(name, 0, HIGHEST_PIN) for name in ("led_pin", "led_rgb_pin", "servo_pin"))
    return ActionPins(led, rgb, servo, relays, _pins(table, "pins"), temperature)


def _pins(table: TomlTable, field: str) -> tuple[int, ...]:
    values = table.take(field, list, [])
    for value in values:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= HIGHEST_PIN:
            table.fail(field, f"holds {shown(value)}, expected pins from 0 to {HIGHEST_PIN}")
    if len(set(values)) < len(values):
        table.fail(field, "names a pin twice")
    return tuple(values)
