"""The settings of an answer, in one table: the host parses with it, and the emitter writes the board's table from it.

Values are as on the wire (docs/protocol.md), u32: Q16.16 (the real value times 65536), a whole number, or the number
of a choice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum, IntEnum

from tinyllm.errors import UserError
from tinyllm.text import shown

ONE = 1 << 16
"""1.0 in Q16.16."""

U32_MAX = 2**32 - 1


class Setting(IntEnum):
    """The settings by their number on the wire."""

    TEMPERATURE = 1
    TOP_K = 2
    TOP_P = 3
    MIN_P = 4
    REPETITION_PENALTY = 5
    SEED = 6
    MAX_TOKENS = 7
    OVERFLOW = 8


class Overflow(IntEnum):
    """What happens when the context is full."""

    SLIDE = 0
    STOP = 1


class Unit(Enum):
    """What a value on the wire stands for."""

    Q16 = "Q16.16"
    WHOLE = "whole number"
    CHOICE = "choice"


@dataclass(frozen=True)
class SettingRange:
    """One setting; minimum, maximum and start (what a board starts with) are as on the wire.

    command: its name in the text voice and in a chat. meaning: its description for people.
    """

    setting: Setting
    unit: Unit
    minimum: int
    maximum: int
    start: int
    command: str
    meaning: str
    choices: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its name in Python and JSON."""
        return self.setting.name.lower()

    def encode(self, value: object, called: str = "") -> int:
        """The u32 on the wire for a number or choice as people write it, Q16.16 to nearest.

        called: the setting's name in the error. Raises UserError if value is neither a number in range nor a choice.
        """
        if value in self.choices:
            return self.choices.index(str(value))
        given = shown(value)
        if not self.choices and isinstance(value, int | float) and not isinstance(value, bool):
            if isinstance(value, int) or math.isfinite(value):
                encoded = round(value * (ONE if self.unit is Unit.Q16 else 1))
                if self.minimum <= encoded <= self.maximum and (self.unit is Unit.Q16 or encoded == value):
                    return encoded
            given = str(value) if isinstance(value, int) else f"{value:.10g}"
            given = given if len(given) <= 24 else f"{given[:20]}..."
        raise UserError(f"{called or self.name} {given}: expected {self.expected}.")

    def parse(self, text: str) -> float | int | str:
        """Turn what a person wrote into a value for `encode`. Text that is no number stays text, which it refuses."""
        try:
            return text.lower() if self.choices else float(text) if self.unit is Unit.Q16 else int(text)
        except ValueError:
            return text

    def decode(self, value: int) -> float | int | str:
        """A value on the wire as people write it: for Q16.16 the shortest decimal that encodes to it."""
        if self.unit is Unit.CHOICE:
            return self.choices[value] if value < len(self.choices) else value
        if self.unit is Unit.WHOLE:
            return value
        return next(real for digits in range(7) if round((real := round(value / ONE, digits)) * ONE) == value)

    def shown(self, value: int) -> str:
        """The text of a value on the wire, with at most six decimals."""
        decoded = self.decode(value)
        return f"{decoded:.6f}".rstrip("0").rstrip(".") if isinstance(decoded, float) else str(decoded)

    @property
    def expected(self) -> str:
        """The values it accepts, for an error message."""
        if self.unit is Unit.CHOICE:
            return " or ".join(self.choices)
        kind = "a number" if self.unit is Unit.Q16 else "a whole number"
        return f"{kind} from {self.shown(self.minimum)} to {self.shown(self.maximum)}"


SETTINGS = {
    row.setting: row
    for row in (
        SettingRange(
            Setting.TEMPERATURE,
            Unit.Q16,
            minimum=0,
            maximum=100 * ONE,
            start=52429,  # 0.8
            command="temp",
            meaning="randomness of the choice, 0 = always the likeliest token",
        ),
        SettingRange(
            Setting.TOP_K,
            Unit.WHOLE,
            minimum=0,
            maximum=U32_MAX,  # the size of the vocabulary or more keeps all
            start=0,
            command="topk",
            meaning="keep the N likeliest tokens, 0 = all",
        ),
        SettingRange(
            Setting.TOP_P,
            Unit.Q16,
            minimum=1,
            maximum=ONE,
            start=58982,  # 0.9
            command="topp",
            meaning="keep the smallest set of tokens that reaches probability X, 1 = all",
        ),
        SettingRange(
            Setting.MIN_P,
            Unit.Q16,
            minimum=0,
            maximum=ONE,
            start=0,
            command="minp",
            meaning="drop tokens less likely than X times the likeliest, 0 = none",
        ),
        SettingRange(
            Setting.REPETITION_PENALTY,
            Unit.Q16,
            minimum=655,  # 0.01
            maximum=100 * ONE,
            start=ONE,
            command="penalty",
            meaning="repetition penalty, 1 = none",
        ),
        SettingRange(
            Setting.SEED,
            Unit.WHOLE,
            minimum=0,
            maximum=U32_MAX,
            start=1,
            command="seed",
            meaning="seed of the random numbers, starts them anew",
        ),
        SettingRange(
            Setting.MAX_TOKENS,
            Unit.WHOLE,
            minimum=0,
            maximum=U32_MAX,
            start=256,
            command="max",
            meaning="tokens per answer, 0 = until the model stops",
        ),
        SettingRange(
            Setting.OVERFLOW,
            Unit.CHOICE,
            minimum=Overflow.SLIDE,
            maximum=Overflow.STOP,
            start=Overflow.SLIDE,
            command="overflow",
            meaning="slide or stop: when the context is full, forget the oldest tokens or end the answer",
            choices=tuple(choice.name.lower() for choice in Overflow),
        ),
    )
}
"""Every setting."""

SAMPLING = (
    Setting.TEMPERATURE,
    Setting.TOP_K,
    Setting.TOP_P,
    Setting.MIN_P,
    Setting.REPETITION_PENALTY,
)
"""The settings that choose a token from its logits (docs/sampling.md)."""
