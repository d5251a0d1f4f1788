"""Common batteries, and the number of tokens for one charge."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Battery:
    """A charged battery. watt_hours: of the cells, as rated by their makers; a converter loses a tenth or two of it."""

    name: str
    watt_hours: float
    source: str

    def tokens(self, millijoules: float) -> int:
        """Tokens for one charge if each takes `millijoules`, and the board does nothing else."""
        return int(self.watt_hours * 3600 * 1000 / millijoules)


BATTERIES = (
    Battery("LiPo 2,000 mAh", 7.4, "2,000 mAh at 3.7 V"),
    Battery("two AA", 6.0, "two alkaline cells of 2,500 mAh at 1.2 V, their mean at some 100 mA"),
    Battery("CR123A", 4.5, "1,500 mAh at 3 V"),
    Battery("18650", 10.8, "3,000 mAh at 3.6 V"),
)
