"""The KV cache as a person wants it: the bits of its codes, how many positions it holds, and which of them stay."""

from __future__ import annotations

from dataclasses import replace

from tinyllm.codegen.arithmetic.float_model import SMALLEST_SLIDING, ModelConfig
from tinyllm.errors import UserError
from tinyllm.text import shown

KV_CACHES = {"int8": (8, 8), "k8v4": (8, 4), "int4": (4, 4)}
"""Name of a format -> bits of the codes of keys, and of values."""

PREFIX = "prefix"
"""As the number of sinks: as many as the prefix has tokens."""


def with_format(config: ModelConfig, name: str | None) -> ModelConfig:
    """The config with one of KV_CACHES; as it is for None. UserError if there is no such format."""
    if name is None:
        return config
    if name not in KV_CACHES:
        raise UserError(f"--kv-cache {shown(name)}: expected {', '.join(KV_CACHES)}.")
    key_bits, value_bits = KV_CACHES[name]
    return replace(config, key_bits=key_bits, value_bits=value_bits)


def with_window(config: ModelConfig, context: int, window: int | None, sinks: str | int | None) -> ModelConfig:
    """The config with a KV cache of `window` positions, of which the first `sinks` stay when the others slide.

    context: positions that a conversation may have. window None: all of them. sinks: a number, in digits or not; PREFIX
    changes nothing yet (`with_prefix_as_sinks`). Raises UserError for numbers that do not go together.
    """
    if sinks not in (None, PREFIX):
        if not str(sinks).strip().isdecimal():
            raise UserError(f"--sinks {shown(str(sinks))}: expected a number of tokens, or {PREFIX}.")
        config = replace(config, sinks=int(str(sinks)))
    if window is not None:
        if not config.smallest_context <= window <= context:
            raise UserError(
                f"--window {window}: expected {config.smallest_context} to {context}, the positions of the context."
            )
        config = replace(config, cache_window=window)
    _check_sinks(config, context)
    return config


def with_prefix_as_sinks(config: ModelConfig, context: int) -> ModelConfig:
    """The config of which the whole prefix stays when the KV cache slides.

    Raises UserError without a prefix, and if it leaves no room.
    """
    if not config.prefix:
        raise UserError(f"--sinks {PREFIX}: no prefix was given; expected --prefix FILE beside it.")
    config = replace(config, sinks=max(config.sinks, len(config.prefix)))
    _check_sinks(config, context)
    return config


def _check_sinks(config: ModelConfig, context: int) -> None:
    held = min(config.cache_window or context, context)
    if config.sinks > held - SMALLEST_SLIDING:
        raise UserError(
            f"--sinks: {config.sinks} of the {held} positions of the KV cache would stay; expected at most "
            f"{held - SMALLEST_SLIDING}. Keep fewer, or give a larger --{'context' if held == context else 'window'}."
        )
