"""What the trials share with the tests: the story model, and the caches of builds and objects."""

from __future__ import annotations

from tests import conftest

STORY_MODEL = conftest.STORY_MODEL


def use_the_caches_of_the_tests() -> None:
    """From now on, for this process and those that it starts."""
    conftest.pytest_configure()
