"""Converts a board's settings to and from what people write, by the table of codegen/arithmetic/sampler_settings.py."""

from __future__ import annotations

from collections.abc import Mapping

from tinyllm.codegen.arithmetic.sampler import SamplerSettings
from tinyllm.codegen.arithmetic.sampler_settings import SAMPLING, SETTINGS, Overflow, Setting, Unit
from tinyllm.host.link.link import Link
from tinyllm.host.link.messages import UNTIL_STOP

RANGES = {setting: row for setting, row in SETTINGS.items() if row.unit is not Unit.CHOICE}
"""The settings that a person changes by number."""


def option_of(setting: Setting) -> str:
    """Its option on the command line."""
    return "--" + setting.name.lower().replace("_", "-")


def encode_setting(setting: Setting, value: float, called: str = "") -> int:
    """The u32 on the wire; UserError if `value` is outside the setting's range. called: its name in the error."""
    return SETTINGS[setting].encode(value, called)


def setting_value(setting: Setting, value: int) -> float | int | str:
    """The value for people: a Q16.16 as the shortest decimal that encodes to it, a choice by its name."""
    return SETTINGS[setting].decode(value)


def budget(max_tokens: int) -> int:
    """`max_tokens` of a PROMPT for the number that a person writes: 0 means until the model stops."""
    return max_tokens or UNTIL_STOP


def wire_settings(sampling: SamplerSettings, seed: int) -> dict[Setting, int]:
    """All settings that decide the tokens of an answer, values as on the wire, with overflow slide."""
    return {
        **{setting: getattr(sampling, SETTINGS[setting].name) for setting in SAMPLING},
        Setting.SEED: seed,
        Setting.OVERFLOW: Overflow.SLIDE,
    }


def apply_settings(link: Link, settings: Mapping[Setting, int]) -> None:
    """Change these settings, values as on the wire, and begin a new conversation. Errors as Link."""
    for setting, value in settings.items():
        link.set(setting, value)
    link.reset()
