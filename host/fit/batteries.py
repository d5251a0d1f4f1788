"""Common batteries, and how many tokens a charge makes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Battery:
    """A charge. watt_hours: of the cells, as their makers rate them; a converter takes a tenth or two of it besides."""

    name: str
    watt_hours: float
    source: str

    def tokens(self, millijoules: float) -> int:
        """Of so much energy each, one after the other and nothing else."""
        return int(self.watt_hours * 3600 * 1000 / millijoules)


BATTERIES = (
    Battery("LiPo 2,000 mAh", 7.4, "2,000 mAh at 3.7 V"),
    Battery("two AA", 6.0, "two alkaline cells of 2,500 mAh at 1.2 V, their mean at some 100 mA"),
    Battery("CR123A", 4.5, "1,500 mAh at 3 V"),
    Battery("18650", 10.8, "3,000 mAh at 3.6 V"),
)
