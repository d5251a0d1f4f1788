"""Acquires places of a labgrid coordinator while their boards are tested, and releases them again."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from labgrid import Environment, Target
from labgrid.binding import BindingError
from labgrid.exceptions import InvalidConfigError, NoSupplierFoundError
from labgrid.factory import target_factory
from labgrid.remote.client import ClientSession, Error, start_session
from labgrid.resource.remote import RemotePlaceManager

from tinyllm.errors import UserError

DEFAULT_ADDRESS = "127.0.0.1:20408"
"""labgrid's own default."""
PLACE = "RemotePlace"


@contextmanager
def held_target(env: Environment, name: str) -> Iterator[Target]:
    """A target of an environment file, with its places acquired for as long as the context lasts.

    A place that this user had acquired on this computer before stays acquired. Raises UserError if there is no
    coordinator or no such place, if somebody else has it, and if the target lacks what its drivers need.
    """
    places = list(normalized(env, name)[0].get(PLACE, {}))
    session = _session(env) if places else None
    acquired: list[str] = []
    try:
        for place in places:
            if session is not None and _acquire(session, place):
                acquired.append(place)
        yield _target(env, name)
    finally:
        if session is not None:
            for place in acquired:
                _call(session, session.release, place=place, kick=False)


def normalized(env: Environment, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Resources and drivers of a target by class, each with its arguments by name. UserError if they are malformed."""
    try:
        resources, drivers = target_factory.normalize_config(env.config.get_targets()[name])
    except (InvalidConfigError, AttributeError, TypeError, KeyError, AssertionError) as error:
        raise UserError(f"{env.config.filename}: target {name}: cannot be read: {_told(error)}") from None
    return resources, drivers


def _target(env: Environment, name: str) -> Target:
    try:
        return env.get_target(name)
    except (InvalidConfigError, NoSupplierFoundError, BindingError, Error, ValueError, TypeError) as error:
        raise UserError(f"{env.config.filename}: target {name}: {_told(error)}") from None


def _session(env: Environment) -> ClientSession:
    """The one connection to the coordinator, which labgrid's own resources use too."""
    manager = RemotePlaceManager.get()
    if manager.session is None:
        address = env.config.get_option("coordinator_address", os.environ.get("LG_COORDINATOR", DEFAULT_ADDRESS))
        try:
            session = start_session(address)
        except (Error, OSError) as error:
            raise UserError(
                f"{address}: no labgrid coordinator answers ({_told(error)}). Start labgrid-coordinator there, or name "
                "another with --lg-coordinator."
            ) from None
        manager.session, manager.loop, manager.url, manager.env = session, session.loop, address, env
    return manager.session


def _acquire(session: ClientSession, name: str) -> bool:
    """Acquire a place. Returns True if it was free, False if it was ours before. UserError if somebody else has it."""
    if _is_ours(session, name):
        return False
    try:
        _call(session, session.acquire, place=name, allow_unmatched=False)
    except UserError:
        # Somebody may have acquired it in the meantime.
        if _is_ours(session, name):
            return False
        raise
    return True


def _is_ours(session: ClientSession, name: str) -> bool:
    """Whether this user has the place on this computer; False if it is free. UserError if somebody else has it."""
    session.loop.run_until_complete(session.sync_with_coordinator())
    try:
        place = session.get_place(name)
    except Error as error:
        known = ", ".join(sorted(session.places)) or "none"
        raise UserError(f"place {name}: {_told(error)}. Places of this coordinator: {known}.") from None
    if not place.acquired:
        return False
    try:
        session.get_acquired_place(name)
    except Error:
        raise UserError(
            f"place {name}: taken by {place.acquired}. Wait for its release, or queue: labgrid-client reserve --wait"
        ) from None
    return True


def _call(session: ClientSession, request: Any, **arguments: Any) -> None:
    """Send a request to the coordinator. labgrid's client reads its arguments from `args`. Raises UserError."""
    session.args = argparse.Namespace(**arguments)
    try:
        session.loop.run_until_complete(request())
    except Error as error:
        raise UserError(f"place {arguments['place']}: {_told(error)}.") from None


def _told(error: Exception) -> str:
    """The error on one line."""
    if isinstance(error.__cause__, TypeError):
        error = error.__cause__  # about a class's arguments; labgrid's own text quotes the whole target
    first = error.args[0] if error.args else None
    text = first if isinstance(first, str) else str(error)
    return " ".join(text.split()).rstrip(".")
