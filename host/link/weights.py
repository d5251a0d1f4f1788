"""The error text for a board that found no valid weights when it started."""

from __future__ import annotations

from tinyllm.host.link.messages import HelloReply, WeightsState

TROUBLE: dict[int, str] = {
    WeightsState.MISSING: "has no weights beside its program",
    WeightsState.TRUNCATED: "has weights that end too early",
    WeightsState.DAMAGED: "has weights that failed their CRC",
    WeightsState.FOREIGN: "has weights of another model or build than its program",
}
"""What is wrong, in words that follow the board's name."""


def weights_trouble(hello: HelloReply) -> str | None:
    """What is wrong, in words that follow the board's name; None if nothing is."""
    if hello.weights == WeightsState.INTACT:
        return None
    return TROUBLE.get(hello.weights, "cannot use its weights")
