"""A calibration as the command line shows it: under way beside a spinner, and done."""

from __future__ import annotations

from tinyllm.host.model.calibrate import calibration_of
from tinyllm.host.model.load import LoadedModel
from tinyllm.host.output import Output


def calibrate(loaded: LoadedModel, output: Output) -> None:
    """Have the calibration of a model in the cache, with its progress on stderr. Errors as calibration_of."""
    if loaded.weights.kind == "int8":
        calibration_of(loaded, notice=output.note)  # tells if a text was given for nothing
        return
    with output.working(f"calibrating {loaded.name} for {loaded.weights}") as step:
        calibration_of(loaded, step, output.note)
