"""The warning for a board whose kernels failed their check when it started."""

from __future__ import annotations

from tinyllm.host.link.messages import HelloReply


def kernels_warning(hello: HelloReply) -> str | None:
    """One line: what happened, what it means and what to do. None if the kernels agree with the portable C."""
    if hello.kernels_agree:
        return None
    return (
        f"the {hello.kernels} kernels failed their check on this {hello.board}, so portable C does their "
        "work. Its tokens are right, but slower. Try another board, and tell us of the chip that fails."
    )
