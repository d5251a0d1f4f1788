"""Virtual boards in QEMU: the portable C on Xtensa, and the Pico's C on QEMU's strict Armv6-M.

    lx106      ESP32's addresses, console through simcalls (firmware/ports/xtensa)
    microbit   an nRF51 with a Pico's memory (firmware/ports/microbit): Thumb-2, misaligned and stray accesses fault

QEMU writes every complaint about the guest to stderr; the firmware's own report of a fault goes there too. With
`count`, the board's clock counts instructions (-icount). On the lx106 one instruction is a microsecond. On the microbit
a thousand are one, because its timer has no finer tick.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tinyllm.errors import UserError
from tinyllm.files import WEIGHTS, write_file
from tinyllm.host.virtual import bridge
from tinyllm.host.virtual.elf import Elf, read_elf
from tinyllm.host.virtual.shared_library import shared_library

PLUGIN, HEADER = Path(__file__).with_name("qemu_profile.c"), Path(__file__).with_name("profile.h")


@dataclass(frozen=True)
class Machine:
    """How QEMU is called: program, Debian package with it, arguments, and the machine of the ELF files that it runs.

    count: arguments that make the board's clock count instructions. ignore: lines about the guest that mean nothing.
    flash: None if QEMU takes the ELF file. Else address and size of a flash: QEMU gets the bytes of that flash instead,
    because it would write .bss behind those of an ELF file.
    """

    program: str
    package: str
    arguments: tuple[str, ...]
    count: tuple[str, ...]
    elf_machine: str
    ignore: re.Pattern[str]
    flash: tuple[int, int] | None = None


MACHINES = {
    "lx106": Machine(
        "qemu-system-xtensa",
        "qemu-system-misc",
        # Without a serial port QEMU reads and writes its own stdin and stdout.
        ("-M", "sim", "-cpu", "lx106", "-semihosting", "-serial", "none"),
        # The word "count" reaches the firmware's clock (firmware/ports/xtensa/chip.c).
        ("-icount", "shift=5,sleep=off", "-append", "count"),
        "EM_XTENSA",
        # The firmware itself executes such an instruction, or reports it (firmware/ports/xtensa/trap.c).
        re.compile(r"unrecognized opcode |unknown instruction length "),
    ),
    "microbit": Machine(
        "qemu-system-arm",
        "qemu-system-arm",
        (
            *("-M", "microbit", "-semihosting"),
            *("-global", "nrf51-soc.sram-size=270336", "-global", "nrf51-soc.flash-size=2097152"),
            *("-chardev", "stdio,id=uart,signal=off", "-serial", "chardev:uart"),
        ),
        ("-icount", "shift=0"),
        "EM_ARM",
        # QEMU resets an Arm processor once before it has loaded the flash.
        re.compile(r"Invalid read at addr 0x[04], size 4, "),
        (0, 2 * 1024 * 1024),
    ),
}

STRICT = ("-display", "none", "-monitor", "none", "-d", "guest_errors,unimp")
OUTSIDE = re.compile(r"Invalid (read|write) at addr 0x([0-9A-Fa-f]+), ")

XTENSA_CAUSES = {
    0: "an undefined instruction",
    6: "a division by zero",
    9: "a misaligned access to {}",
    63: "a break instruction",
}
"""By EXCCAUSE (Xtensa Instruction Set Architecture Reference Manual, table 4-64); {} stands for EXCVADDR. 63 is the
firmware's own number for a debug exception."""


def serve(
    program: Path,
    chip: str,
    tcp_port: int = 0,
    parent_pipe: bool = False,
    count: bool = False,
    profile: Path | None = None,
) -> int:
    """Run an image until asked to stop; see bridge.serve. Raises UserError for a bad chip or image, and without QEMU.

    profile: the folder of a profile to count into. It stays empty if this computer cannot compile QEMU's plugin.
    """
    machine = MACHINES.get(chip)
    if machine is None:
        raise UserError(f"QEMU has no machine for {chip!r} here; it has {', '.join(MACHINES)}.")
    image = read_elf(program, machine.elf_machine)
    weights = _weights(image)
    found = find(machine)
    counting = [*(machine.count if count else ()), *(_profiling(found, profile) if profile else ())]

    def run(kernel: Path) -> int:
        command: list[str | Path] = [found, *machine.arguments, *STRICT, *counting, *weights, "-kernel", kernel]
        return bridge.serve(command, partial(explain, chip, image), tcp_port, parent_pipe, machine.ignore)

    if machine.flash is None:
        return run(program)
    with tempfile.TemporaryDirectory(prefix="tinyllm-qemu-") as work:
        flash = Path(work) / "flash.bin"
        write_file(flash, image.flash(*machine.flash))
        return run(flash)


def _weights(image: Elf) -> list[str]:
    """The arguments that load the weights beside the program into memory.

    Empty if the weights are in the program, or their file is missing: QEMU's memory there is then zero.
    """
    found = image.weights()
    path = image.path.with_name(WEIGHTS)
    if found is None or not path.is_file():
        return []
    file = str(path).replace(",", ",,")
    return ["-device", f"loader,file={file},addr={found[0]:#x},force-raw=on"]


def find(machine: Machine) -> str:
    """The path of QEMU. Raises UserError if it is missing."""
    found = shutil.which(machine.program)
    if found is None:
        raise UserError(
            f"{machine.program} is not on PATH; to get it: sudo apt-get install {machine.package}, or see qemu.org."
        )
    return found


def _profiling(qemu: str, folder: Path) -> list[str]:
    """The arguments that load our plugin; empty if no compiler can build it, or QEMU was built without plugins.

    QEMU 9.0 raised the version of the plugin interface (QEMU's qemu-plugin.h).
    """
    said, known = (
        subprocess.run([qemu, option], capture_output=True, text=True, check=False).stdout
        for option in ("--version", "--help")
    )
    found = re.search(r"version (\d+)", said)
    if found is None or "-plugin " not in known:
        return []
    try:
        plugin = shared_library(PLUGIN, HEADER, flags=(f"-DTL_QEMU_API={1 if int(found[1]) < 9 else 2}",))
    except UserError as error:
        print(f"tinyllm: counting without functions: {error}", file=sys.stderr)
        return []
    # QEMU's options are separated by commas, and a comma in a value is doubled.
    return ["-plugin", ",".join(part.replace(",", ",,") for part in (f"file={plugin}", f"folder={folder}"))]


def explain(chip: str, image: Elf, complaints: Sequence[str]) -> str:
    """The message for a board that stopped: QEMU's lines, the registers from the firmware's report, and why, last."""
    report = next((line for line in complaints if line.startswith("tinyllm: fault")), "")
    said = [line for line in complaints if line != report]
    outside = next((found for line in said if (found := OUTSIDE.match(line))), None)
    values = bridge.registers(report)
    if "stack overflow" in report:
        trouble = "stack overflow"
    elif outside is not None:
        trouble = f"a {outside[1]} at {int(outside[2], 16):#010x}, where there is no memory"
    elif "exc" in values:
        trouble = XTENSA_CAUSES.get(values["exc"], f"exception {values['exc']}").format(f"{values['addr']:#010x}")
    elif report:
        trouble = "an undefined instruction or a misaligned access"
    else:
        trouble = said[0]
    return "\n".join([*said, bridge.account(f"the virtual {chip}", trouble, image, values)])


def main() -> int:
    """`python -m tinyllm.host.virtual.qemu PROGRAM --chip lx106|microbit --tcp PORT [--parent-pipe] [--count]`.

    `--profile FOLDER` counts what each function executes into the profile there.
    """
    parser = bridge.argument_parser("Run a virtual board in QEMU.")
    parser.add_argument("--chip", required=True, choices=sorted(MACHINES))
    parser.add_argument("--count", action="store_true", help="the board's clock counts instructions")
    parser.add_argument("--profile", type=Path, metavar="FOLDER", help="count into the profile in FOLDER")
    given = parser.parse_args()
    return serve(given.program, given.chip, given.tcp, given.parent_pipe, given.count, given.profile)


if __name__ == "__main__":
    sys.exit(bridge.report_errors(main))
