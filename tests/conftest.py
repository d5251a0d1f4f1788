"""Fixtures every test folder shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine must not fail a property: timing is never asserted. CI draws the same examples each time, so that what
# fails there is the change; everybody else's runs explore.
settings.register_profile("tinyllm", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("tinyllm")

SHARED_DATA = Path(__file__).resolve().parents[1] / "../shared/data"


def skip_unless_ci(reason: str) -> None:
    """Skip on a person's machine; in CI a missing tool or folder is a failure, not a skip."""
    if os.environ.get("CI"):
        pytest.fail(f"CI must have this: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of checkpoints, golden outputs and texts that lies beside the project."""
    if not SHARED_DATA.is_dir():
        skip_unless_ci(f"no test data at {SHARED_DATA}")
    return SHARED_DATA
