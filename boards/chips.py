"""The addresses of each chip's internal RAM. They tell which sections of a program are in RAM; flags do not.

The ESP32 chips show one RAM twice, on the bus for data and on the bus for instructions; code that runs from RAM has
addresses of the second. Other memories are not counted: PSRAM, RTC memory, and the RP chips' XIP cache (XIP_SRAM) and
USB buffers (USBCTRL_DPRAM). Nothing of ours is static there, and a board's `sram` leaves them out too.
The i.MX RT1062's second half (OCRAM) is not counted either: Teensy's core has its heap and USB buffers there.
"""

from __future__ import annotations

from dataclasses import dataclass

HEAP = 24 * 1024
"""Bytes of RAM that functions and tables copied to RAM must leave for a framework's heap. Estimated.

They are left in addition to the heap that a board reserves."""


@dataclass(frozen=True)
class HotCode:
    """How functions get into RAM. section: the section that the core's linker script copies to RAM.

    shared: whether variables share that RAM.
    """

    section: str
    shared: bool = True


@dataclass(frozen=True)
class Chip:
    """A chip.

    ram: address ranges, each as the first byte and the one after the last. source: the maker's header with them.
    hot_code: None if code in flash has its own cache, so that weights do not drive it out. heap: as HEAP, for this
    chip's framework. runs_from_ram: whether the linker script copies all code to RAM, and all constants but the tables
    that are marked (firmware/engine/placement.h).
    """

    ram: tuple[tuple[int, int], ...]
    source: str
    hot_code: HotCode | None = None
    heap: int = HEAP
    runs_from_ram: bool = False

    def is_ram(self, address: int) -> bool:
        """Whether an address is in the internal RAM."""
        return any(first <= address < end for first, end in self.ram)


PICO_SDK = HotCode(".time_critical.tinyllm")
"""pico-sdk's and Arduino-Pico's memmap_default.ld copy this section with .data."""

PICO_HEAP = 8 * 1024
"""As HEAP. Arduino-Pico runs no tasks, and its variables leave another 6 KB of the 16 KB that the boards reserve."""

ESP_IDF = ".iram1.tinyllm"
"""Part of .iram0.text in ESP-IDF's sections.ld. For code only: data there can be read only by whole words."""

STACK = 8 * 1024
"""As HEAP, of a chip whose heap has a RAM of its own: room for the stack, beside what is reserved."""

CHIPS = {
    "rp2040": Chip(
        ram=((0x2000_0000, 0x2004_2000), (0x2100_0000, 0x2104_0000)),
        source="pico-sdk, addressmap.h in src/rp2040/hardware_regs: SRAM_BASE to SRAM_END, four striped banks of"
        " 64 KB and two of 4 KB; SRAM0_BASE to the end of SRAM3, the four again, one after the other",
        hot_code=PICO_SDK,
        heap=PICO_HEAP,
    ),
    "rp2350": Chip(
        ram=((0x2000_0000, 0x2008_2000),),
        source="pico-sdk, addressmap.h in src/rp2350/hardware_regs: SRAM_BASE to SRAM_END, eight striped banks of"
        " 64 KB and two of 4 KB",
        hot_code=PICO_SDK,
        heap=PICO_HEAP,
    ),
    "esp32": Chip(
        ram=((0x3FFA_E000, 0x4000_0000), (0x4007_0000, 0x400C_0000)),
        source="esp-idf, soc.h in components/soc/esp32: SOC_DRAM, SRAM1 and 2 as data; SOC_CACHE_PRO,"
        " SOC_CACHE_APP, SOC_IRAM and SOC_DIRAM_IRAM, SRAM0 and 1 as instructions",
        hot_code=HotCode(ESP_IDF, shared=False),
    ),
    "esp32s3": Chip(
        ram=((0x3FC8_8000, 0x3FD0_0000), (0x4037_0000, 0x403E_0000)),
        source="esp-idf, soc.h in components/soc/esp32s3: SOC_DRAM, SRAM1 and 2 as data; SOC_IRAM, SRAM0 and"
        " 1 as instructions",
    ),
    "esp32c3": Chip(
        ram=((0x3FC8_0000, 0x3FCE_0000), (0x4037_C000, 0x403E_0000)),
        source="esp-idf, soc.h in components/soc/esp32c3: SOC_DRAM, SRAM1 as data; SOC_IRAM, SRAM0 and 1 as"
        " instructions",
        hot_code=HotCode(ESP_IDF),
    ),
    "esp32s2": Chip(
        ram=((0x3FFB_0000, 0x4000_0000), (0x4002_0000, 0x4007_0000)),
        source="esp-idf, soc.h in components/soc/esp32s2: SOC_DRAM as data; SOC_IRAM, the same, as instructions",
        hot_code=HotCode(ESP_IDF),
    ),
    "esp32c6": Chip(
        ram=((0x4080_0000, 0x4088_0000),),
        source="esp-idf, soc.h in components/soc/esp32c6: SOC_DRAM and SOC_IRAM, one bus",
        hot_code=HotCode(ESP_IDF),
    ),
    "esp32p4": Chip(
        ram=((0x4FF0_0000, 0x4FFC_0000),),
        source="esp-idf, soc.h in components/soc/esp32p4: SOC_DRAM and SOC_IRAM, one bus",
    ),
    "imxrt1062": Chip(
        ram=((0x0000_0000, 0x0008_0000), (0x2000_0000, 0x2008_0000)),
        source="PaulStoffregen/cores, imxrt1062_t41.ld in teensy4: ITCM and DTCM, which share 512 KB in banks of 32",
        heap=STACK,
        runs_from_ram=True,
    ),
}
"""The chips by the `chip` of a board's description. A user's own board may have a chip that is not here.

The RP chips and the ESP32-C3 have one cache of 16 KB for code and data, the ESP32-C6 has one of 32 KB, the ESP32 one of
32 KB for each core. The ESP32-S2 has a cache for instructions alone, but of 8 KB. The ESP32-S3 and the ESP32-P4 also
have a cache for instructions alone, and hot functions fit in 16 KB: their RAM is worth more for weights.
"""
