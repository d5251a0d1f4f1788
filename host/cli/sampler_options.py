"""The options of the sampler, encoded as the settings of a board."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from tinyllm.host.cli.options import seed_option
from tinyllm.host.link.messages import Setting
from tinyllm.host.link.settings import encode_setting

SETTINGS = (
    Setting.TEMPERATURE,
    Setting.TOP_K,
    Setting.TOP_P,
    Setting.MIN_P,
    Setting.REPETITION_PENALTY,
    Setting.SEED,
)

SAMPLER_OPTIONS = (
    click.option(
        "--temperature", type=float, default=0.8, show_default=True, help="Randomness of the choice, 0 = greedy."
    ),
    click.option("--top-k", type=int, default=0, show_default=True, help="Keep the K likeliest tokens, 0 = all."),
    click.option(
        "--top-p",
        type=float,
        default=0.9,
        show_default=True,
        help="Keep the smallest set of tokens of this probability, 1 = all.",
    ),
    click.option(
        "--min-p",
        type=float,
        default=0.0,
        show_default=True,
        help="Drop tokens less likely than this times the likeliest.",
    ),
    click.option("--repetition-penalty", type=float, default=1.0, show_default=True, help="1 = none."),
    seed_option,
)


def sampler_options(verb: Callable[..., None]) -> Callable[..., None]:
    """Give a verb the options of SAMPLER_OPTIONS; it takes them as one argument, `settings: dict[Setting, int]`.

    The values are u32 as on the wire (docs/protocol.md). UserError for a value beyond its setting's range.
    """

    @functools.wraps(verb)
    def command(**given: Any) -> None:
        settings = {setting: encode_setting(setting, given.pop(setting.name.lower())) for setting in SETTINGS}
        verb(settings=settings, **given)

    for option in reversed(SAMPLER_OPTIONS):
        command = option(command)
    return command
