"""Flash and RAM of a program, counted from ELF files whose sections lie as the makers' linker scripts lay them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.pipeline.real_boards import CROSS
from tinyllm.boards.chips import CHIPS
from tinyllm.host.build.program import ProgramSize, program_size

PICO = """
MEMORY
{
    FLASH : ORIGIN = 0x10000000, LENGTH = 2M
    RAM : ORIGIN = 0x20000000, LENGTH = 256K
    SCRATCH_X : ORIGIN = 0x20040000, LENGTH = 4K
    SCRATCH_Y : ORIGIN = 0x20041000, LENGTH = 4K
}
SECTIONS
{
    .boot2 : { *(.boot2) } > FLASH
    .ota : { *(.ota) } > FLASH
    .partition : { *(.partition) } > FLASH
    .text : { *(.text) } > FLASH
    .ram_vector_table (NOLOAD) : { *(.ram_vector_table) } > RAM
    .data : { *(.time_critical) } > RAM AT> FLASH
    .bss (NOLOAD) : { *(.bss) } > RAM
    .heap (NOLOAD) : { . = ORIGIN(RAM) + LENGTH(RAM); } > RAM
    .scratch_x : { *(.scratch_x) } > SCRATCH_X AT> FLASH
    .stack1_dummy (NOLOAD) : { *(.stack1) } > SCRATCH_X
    .stack_dummy (NOLOAD) : { *(.stack) } > SCRATCH_Y
}
"""
"""In the order of Arduino-Pico's memmap_default.ld."""

ESPRESSIF = """
MEMORY
{{
    IRAM : ORIGIN = {iram:#x}, LENGTH = 128K
    DRAM : ORIGIN = {dram:#x}, LENGTH = 256K
    IROM : ORIGIN = 0x42000020, LENGTH = 4M
    DROM : ORIGIN = 0x3C000020, LENGTH = 4M
    PSRAM : ORIGIN = 0x3D000000, LENGTH = 8M
    RTC : ORIGIN = 0x50000000, LENGTH = 8K
}}
SECTIONS
{{
    .rtc.data : {{ *(.rtc.data) }} > RTC
    .iram0.text : {{ *(.iram0.text) }} > IRAM
    .dram0.dummy (NOLOAD) : {{ . += 0x4000; }} > DRAM
    .dram0.data : {{ *(.dram0.data) }} > DRAM
    .noinit (NOLOAD) : {{ *(.noinit) }} > DRAM
    .dram0.bss (NOLOAD) : {{ *(.dram0.bss) }} > DRAM
    .flash.text : {{ *(.flash.text) }} > IROM
    .flash_rodata_dummy (NOLOAD) : {{ . += 0x20000; }} > DROM
    .flash.rodata : {{ *(.flash.rodata) }} > DROM
    .ext_ram.dummy (NOLOAD) : {{ . += 0x30000; }} > PSRAM
    .ext_ram.bss (NOLOAD) : {{ *(.ext_ram.bss) }} > PSRAM
    .dram0.heap_start (NOLOAD) : {{ . += 8; }} > DRAM
}}
"""
"""In the order of ESP-IDF's sections.ld of the S3 and the C3: one RAM on two buses, and dummies that pass over it."""


def link(chip: str, script: str, sections: dict[str, tuple[str, int]], folder: Path) -> Path:
    """An ELF file of zeros. sections: input section -> flags as the assembler has them, and bytes."""
    (folder / "script.ld").write_text(script)
    lines = [
        f'.section {name},"{flags}",{"%nobits" if name in NOBITS else "%progbits"}\n.space {size}\n'
        for name, (flags, size) in sections.items()
    ]
    (folder / "sections.s").write_text("".join(lines))
    image = folder / "firmware.elf"
    command = [CROSS[chip].tool("gcc")[0], *machine(chip), "-nostdlib", "-nostartfiles", "-T", "script.ld", "-Wl,-e,0"]
    command += ["-Wl,--no-warn-rwx-segments"] if chip != "esp32s3" else []
    done = subprocess.run([*command, "sections.s", "-o", str(image)], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return image


NOBITS = (".ram_vector_table", ".bss", ".stack", ".stack1", ".noinit", ".dram0.bss", ".ext_ram.bss")


def machine(chip: str) -> list[str]:
    return [flag for flag in CROSS[chip].flags if "specs" not in flag]


def test_a_picos_program_is_counted_by_where_its_sections_lie(tmp_path: Path) -> None:
    image = link(
        "rp2040",
        PICO,
        {
            ".boot2": ("ax", 256),
            ".ota": ("aw", 5000),
            ".partition": ("aw", 12_000),
            ".text": ("ax", 40_000),
            ".ram_vector_table": ("aw", 192),
            ".time_critical": ("ax", 6000),
            ".bss": ("aw", 30_000),
            ".scratch_x": ("aw", 64),
            ".stack1": ("aw", 2048),
            ".stack": ("aw", 2048),
        },
        tmp_path,
    )
    # As the core's .data is: it holds code, and nothing says that it may be written.
    objcopy = [f"{CROSS['rp2040'].prefix}objcopy", "--set-section-flags", ".data=alloc,load,code,readonly,contents"]
    subprocess.run([*objcopy, image], check=True)
    assert program_size(image, CHIPS["rp2040"]) == ProgramSize(
        flash=256 + 5000 + 12_000 + 40_000 + 6000 + 64, ram=192 + 6000 + 30_000 + 64
    )
    by_flags = program_size(image, None)
    assert by_flags is not None
    assert by_flags.ram == 5000 + 12_000 + 192 + 30_000 + 64, "the flags say otherwise, so this test can fail"


@pytest.mark.parametrize(
    ("chip", "iram", "dram"), [("esp32s3", 0x40374000, 0x3FC88000), ("esp32c3", 0x4037C400, 0x3FC80000)]
)
def test_the_dummies_of_an_esp32_image_are_no_bytes_of_the_program(
    chip: str, iram: int, dram: int, tmp_path: Path
) -> None:
    image = link(
        chip,
        ESPRESSIF.format(iram=iram, dram=dram),
        {
            ".rtc.data": ("aw", 16),
            ".iram0.text": ("ax", 50_000),
            ".dram0.data": ("aw", 9000),
            ".noinit": ("aw", 100),
            ".dram0.bss": ("aw", 20_000),
            ".flash.text": ("ax", 100_000),
            ".flash.rodata": ("aw", 60_000),
            ".ext_ram.bss": ("aw", 1000),
        },
        tmp_path,
    )
    assert program_size(image, CHIPS[chip]) == ProgramSize(
        flash=16 + 50_000 + 9000 + 100_000 + 60_000, ram=50_000 + 9000 + 100 + 20_000
    )


def test_a_file_that_is_no_elf_file_has_no_sections_to_count(tmp_path: Path) -> None:
    (tmp_path / "program").write_bytes(b"MZ" + bytes(100))
    assert program_size(tmp_path / "program", None) is None
