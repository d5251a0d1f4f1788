"""Calibrates a model for the command line, with a spinner."""

from __future__ import annotations

from tinyllm.host.model.calibrate import calibration_of
from tinyllm.host.model.load import LoadedModel
from tinyllm.host.output import Output


def calibrate(loaded: LoadedModel, output: Output) -> None:
    """Put the calibration of a model into the cache, with progress on stderr. Errors as calibration_of."""
    if loaded.weights.kind == "int8":
        calibration_of(loaded, notice=output.note)  # Only notes that int8 does not use a given text.
        return
    with output.working(f"calibrating {loaded.name} for {loaded.weights}") as step:
        calibration_of(loaded, step, output.note)
