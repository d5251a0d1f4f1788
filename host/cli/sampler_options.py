"""The sampler's options, made from the table of a board's settings."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from tinyllm.codegen.arithmetic.sampler_settings import SAMPLING, SETTINGS, Setting, Unit
from tinyllm.host.cli.options import seed_option
from tinyllm.host.link.settings import encode_setting, option_of

SAMPLER_OPTIONS = {
    setting: click.option(
        option_of(setting),
        type=float if SETTINGS[setting].unit is Unit.Q16 else int,
        metavar="X" if SETTINGS[setting].unit is Unit.Q16 else "N",
        default=SETTINGS[setting].decode(SETTINGS[setting].start),
        show_default=True,
        help=f"{SETTINGS[setting].meaning[0].upper()}{SETTINGS[setting].meaning[1:]}.",
    )
    for setting in SAMPLING
} | {Setting.SEED: seed_option}
"""The option of each setting, with its name, default and meaning from the table of settings."""


def sampler_options(verb: Callable[..., None]) -> Callable[..., None]:
    """Give a verb the options of SAMPLER_OPTIONS; it takes them as one argument, `settings: Sampling`.

    The verb then raises UserError for a value beyond its setting's range.
    """

    @functools.wraps(verb)
    def command(**given: Any) -> None:
        settings = {setting.name.lower(): given.pop(setting.name.lower()) for setting in SAMPLER_OPTIONS}
        for setting in SAMPLER_OPTIONS:
            encode_setting(setting, settings[setting.name.lower()], option_of(setting))
        verb(settings=settings, **given)

    for option in reversed(SAMPLER_OPTIONS.values()):
        command = option(command)
    return command
