"""A board's settings by name (temperature, top_k, ..., overflow), in the units of the command line."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, TypedDict

from tinyllm.codegen.arithmetic.sampler import SamplerSettings
from tinyllm.codegen.arithmetic.sampler_settings import SAMPLING, SETTINGS, Setting
from tinyllm.errors import UserError
from tinyllm.host.link.errors import Refused
from tinyllm.host.link.link import Link
from tinyllm.host.link.settings import budget

if TYPE_CHECKING:
    from typing_extensions import Unpack

SettingValue = float | int | str
NAMES = {row.name: row for row in SETTINGS.values()}


class Sampling(TypedDict, total=False):
    """The settings that decide which tokens are sampled. docs/sampling.md explains them.

    temperature: 0 (greedy) to 100. top_k: 0 keeps all tokens. top_p: above 0, up to 1. min_p: 0 to 1.
    repetition_penalty: 1 means none. seed: u32; the same seed and prompts give the same tokens.
    """

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repetition_penalty: float
    seed: int


class AllSettings(Sampling, total=False):
    """Every setting of a board.

    max_tokens: limit of one answer; 0 lets it go on until the model stops. overflow: what happens when the context is
    full: "slide" forgets the oldest tokens, "stop" ends the answer.
    """

    max_tokens: int
    overflow: str


OF_AN_ANSWER = (*Sampling.__annotations__, "max_tokens")


class UnknownSetting(UserError, TypeError):
    """No setting has that name; the message lists the settings. Also a TypeError, as for an unknown keyword."""


def encode(name: str, value: object) -> int:
    """The u32 on the wire. Raises UnknownSetting, and UserError if `value` is out of the setting's range."""
    return NAMES[known(name)].encode(value)


def known(name: str, names: Collection[str] = NAMES.keys()) -> str:
    """Return `name`. Raises UnknownSetting, which suggests the nearest name, if it is not one of `names`."""
    if name in names:
        return name
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise UnknownSetting(f"no setting is called {name!r}.{hint} The settings are {', '.join(names)}.")


class BoardSettings(Mapping[str, SettingValue]):
    """The settings of one board, as a mapping: `board.settings["temperature"] = 0` changes one.

    An assignment goes to the board at once. Settings of a single answer (`Board.ask`) end with it and do not show here.
    """

    def __init__(self, link: Link) -> None:
        """Read the settings from the board. Errors as Link.get."""
        self._link = link
        self._own = link.get()
        self._on_board = dict(self._own)

    def __getitem__(self, name: str) -> SettingValue:
        row = NAMES[known(name)]
        return row.decode(self._own[row.setting])

    def __contains__(self, name: object) -> bool:
        return name in NAMES

    def __iter__(self) -> Iterator[str]:
        return iter(NAMES)

    def __len__(self) -> int:
        return len(NAMES)

    def __setitem__(self, name: str, value: SettingValue) -> None:
        """Change one setting. Errors as `encode` and Link.set."""
        self.set_wire({NAMES[known(name)].setting: encode(name, value)})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({dict(self)})"

    def update(self, **settings: Unpack[AllSettings]) -> None:
        """Change several settings; if one name or value is wrong, none is changed. Errors as __setitem__."""
        self.set_wire({NAMES[known(name)].setting: encode(name, value) for name, value in settings.items()})

    def set_wire(self, wire: Mapping[Setting, int]) -> None:
        """Change several settings, given as wire values. Errors as Link.set.

        If the board is lost meanwhile, it gets them when it is back. If it refuses one, all keep their old values.
        """
        before = self._own
        self._own = {**before, **wire}
        try:
            for setting, value in wire.items():
                self._send(setting, value)
        except Refused:
            self._own = before
            raise

    @property
    def wire(self) -> dict[Setting, int]:
        """All settings as wire values (Q16.16 for real numbers)."""
        return dict(self._own)

    @property
    def sampler(self) -> SamplerSettings:
        """The settings for the Python sampler."""
        return SamplerSettings(**{SETTINGS[setting].name: self._own[setting] for setting in SAMPLING})

    @property
    def seed(self) -> int:
        """The seed of the random numbers."""
        return self._own[Setting.SEED]

    def limit(self, max_tokens: int | None) -> int:
        """The `max_tokens` field of a PROMPT: the given number or, if None, the board's setting. Errors as `encode`."""
        return budget(self._own[Setting.MAX_TOKENS] if max_tokens is None else encode("max_tokens", max_tokens))

    def apply(self, overrides: Mapping[str, object]) -> None:
        """Make the board use these settings, with `overrides` for one answer. A seed in `overrides` is always sent."""
        chosen = {NAMES[known(name, OF_AN_ANSWER)].setting: encode(name, value) for name, value in overrides.items()}
        for setting, value in (self._own | chosen).items():
            if self._on_board.get(setting) != value or (setting is Setting.SEED and setting in chosen):
                self._send(setting, value)

    def doubt(self, link: Link) -> None:
        """Treat the settings of the board behind `link` as unknown, so that the next `apply` sends all of them."""
        self._link = link
        self._on_board.clear()

    def _send(self, setting: Setting, value: int) -> None:
        self._link.set(setting, value)
        self._on_board[setting] = value
