"""The sampler's settings as people write them: names, ranges and units of docs/protocol.md."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tinyllm.errors import UserError
from tinyllm.host.link.messages import Q16, REAL_SETTINGS, UNTIL_STOP, Overflow, Setting

U32_MAX = 0xFFFFFFFF


@dataclass(frozen=True)
class Range:
    """What a setting takes; `slash` is its command in a chat."""

    slash: str
    lowest: float
    highest: float
    meaning: str


RANGES: dict[Setting, Range] = {
    Setting.TEMPERATURE: Range("temp", 0, 100, "randomness of the choice, 0 = always the likeliest token"),
    Setting.TOP_K: Range("topk", 0, U32_MAX, "keep the N likeliest tokens, 0 = all"),
    Setting.TOP_P: Range("topp", 1 / Q16, 1, "keep the smallest set of tokens that reaches this probability, 1 = all"),
    Setting.MIN_P: Range("minp", 0, 1, "drop tokens less likely than this times the likeliest, 0 = none"),
    Setting.REPETITION_PENALTY: Range("penalty", 0.01, 100, "repetition penalty, 1 = none"),
    Setting.SEED: Range("seed", 0, U32_MAX, "seed of the random numbers"),
    Setting.MAX_TOKENS: Range("max", 0, U32_MAX - 1, "tokens per answer, 0 = until the model stops"),
}
"""The settings that a person changes by number."""


def encode_setting(setting: Setting, value: float) -> int:
    """The u32 on the wire; UserError where `value` is outside the setting's range."""
    allowed = RANGES[setting]
    name = setting.name.lower()
    if not (math.isfinite(value) and allowed.lowest <= value <= allowed.highest):
        raise UserError(f"{name} {value:g}: expected a number from {allowed.lowest:.3g} to {allowed.highest:.10g}.")
    if setting in REAL_SETTINGS:
        return round(value * Q16)
    if value != int(value):
        raise UserError(f"{name} {value:g}: expected a whole number.")
    return int(value)


def parse_setting(setting: Setting, text: str) -> int:
    """The u32 on the wire for what a person typed; UserError where it is no number of the setting's range."""
    try:
        number = float(text) if setting in REAL_SETTINGS else int(text)
    except ValueError:
        kind = "a number" if setting in REAL_SETTINGS else "a whole number"
        raise UserError(f"{setting.name.lower()} {text!r}: expected {kind}.") from None
    return encode_setting(setting, number)


def setting_value(setting: Setting, value: int) -> float | int | str:
    """The value as a person means it: of a Q16.16 number the shortest decimal that stands for it."""
    if setting is Setting.OVERFLOW:
        return Overflow(value).name.lower() if value in tuple(Overflow) else value
    if setting not in REAL_SETTINGS:
        return value
    return next(real for digits in range(7) if round((real := round(value / Q16, digits)) * Q16) == value)


def format_setting(setting: Setting, value: int) -> str:
    """The value as a person writes it."""
    shown = setting_value(setting, value)
    return f"{shown:.9g}" if isinstance(shown, float) else str(shown)


def budget(max_tokens: int) -> int:
    """`max_tokens` of a PROMPT for a number as people write it, where 0 means until the model stops."""
    return max_tokens or UNTIL_STOP
