"""Runs tests on the boards of a labgrid, with --lg-env FILE (docs/labgrid.md)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from labgrid import Environment
from labgrid.config import Config
from labgrid.exceptions import InvalidConfigError, NoConfigFoundError, NoSupplierFoundError
from labgrid.pytestplugin.hooks import LABGRID_ENV_KEY
from labgrid.strategy import StrategyError

from tinyllm.errors import UserError
from tinyllm.host.connect.attach import BoardRequest
from tinyllm.host.labgrid.drivers import TinyllmDriver, TinyllmStrategy
from tinyllm.host.labgrid.places import held_target, normalized
from tinyllm.host.pytest_plugin.boards import load_options, plainly


@dataclass(frozen=True)
class LabTarget:
    """A target of the environment file, the parameter of the fixture tinyllm_board_request."""

    name: str


def check(path: str) -> None:
    """Raise UsageError unless labgrid can read this environment file."""
    try:
        Config(path)
    except (NoConfigFoundError, InvalidConfigError) as error:
        reason = error.msg
    except (OSError, UnicodeError) as error:
        reason = str(error).removesuffix(".")
    except (TypeError, AttributeError, KeyError):  # of what stands where labgrid expects tables
        reason = "expected tables like `targets:`"
    else:
        return
    told = " ".join(reason.split())
    raise pytest.UsageError(f"--lg-env {path}: {told}. docs/labgrid.md of tinyllm shows such a file.")


def targets(config: pytest.Config) -> list[LabTarget]:
    """The targets with a TinyllmDriver; none if there is no environment file."""
    env = config.stash.get(LABGRID_ENV_KEY, None)
    if env is None:
        return []
    with plainly():
        named = env.config.get_targets()
        if not isinstance(named, dict):
            raise UserError(f"{env.config.filename}: targets: expected a target's name and what it has, for each.")
        return [LabTarget(name) for name in named if TinyllmDriver.__name__ in normalized(env, name)[1]]


def flashed(request: pytest.FixtureRequest) -> Iterator[BoardRequest]:
    """The request for the board of a target. Its place is acquired while the fixture lives, its board is flashed."""
    config = request.config
    env: Environment = config.stash[LABGRID_ENV_KEY]
    with plainly():
        chosen = getattr(request, "param", None)
        if not isinstance(chosen, LabTarget):
            raise UserError(
                f"{env.config.filename}: no target of it has a {TinyllmDriver.__name__}, so it has no board to test. "
                "docs/labgrid.md of tinyllm shows one."
            )
        model, options = config.getoption("tinyllm_model"), load_options(config)
        with held_target(env, chosen.name) as target:
            driver = target.get_driver(TinyllmDriver, activate=False)
            strategy = next((each for each in target.drivers if isinstance(each, TinyllmStrategy)), None)
            try:
                if (state := config.getoption("lg_initial_state")) is not None and strategy is not None:
                    strategy.force(state)
                if strategy is not None:
                    strategy.transition("flashed", model=model, options=options)
                target.activate(driver)
            except (StrategyError, NoSupplierFoundError) as error:
                raise UserError(f"target {chosen.name}: {error.msg}") from None
            yield driver.request(model, options)
