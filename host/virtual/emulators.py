"""The emulators: the command that runs an image in each, and what each can count."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from tinyllm.errors import UserError
from tinyllm.processes import python_module


@dataclass(frozen=True)
class Emulator:
    """The module that runs an image, and what it can count.

    unit: instructions or cycles. If the board's clock counts, one unit is one microsecond of it.
    clock: what the board's clock is if it does not count; CHIP stands for the chip's name.
    chips: whether the module emulates several chips, and must be told which.
    both_cores: whether it runs both cores of a chip that has two, and reports what each has executed.
    """

    module: str
    unit: str
    clock: str = "emulated clock of the virtual CHIP"
    chips: bool = True
    both_cores: bool = False

    def command(
        self, image: Path, chip: str, *options: str, count: bool = False, profile: Path | None = None
    ) -> list[str]:
        """The command line that runs an ELF image; a board's process takes `--tcp PORT` and `--parent-pipe` too.

        count: the board's clock counts. profile: the folder of a profile (profile.py) to count into.
        """
        named = ("--chip", chip) if self.chips else ()
        counting = ("--count",) if count else ()
        profiling = () if profile is None else ("--profile", str(profile))
        return [*python_module(self.module), str(image), *named, *counting, *profiling, *options]


RP2040JS = "rp2040js"

EMULATORS = {
    "unicorn": Emulator("tinyllm.host.virtual.unicorn", "instructions", both_cores=True),
    "qemu": Emulator("tinyllm.host.virtual.qemu", "instructions", "wall clock of this computer, in QEMU"),
    RP2040JS: Emulator("tinyllm.host.virtual.rp2040js", "cycles", chips=False),
}


def require_unicorn() -> None:
    """Raise UserError that says what to install, if the Unicorn emulator is missing."""
    if importlib.util.find_spec("unicorn") is None:
        raise UserError("virtual boards need the Unicorn emulator; to get it: pip install 'tinyllm[virtual]'")
