/* PSRAM, as the cores give it. It is taken once and never freed.
 *
 * arduino-esp32: static variables cannot be there, for its libraries are built without
 * CONFIG_SPIRAM_ALLOW_BSS_SEG_EXTERNAL_MEMORY. Arduino-Pico: a board's variant defines RP2350_PSRAM_CS if it has PSRAM.
 */
#ifndef TL_PORT_PSRAM_H
#define TL_PORT_PSRAM_H

#include <Arduino.h>

#include "model.h"

#if defined(ARDUINO_ARCH_ESP32)
#include <esp_heap_caps.h>

#if defined(BOARD_HAS_PSRAM)
#define HAS_PSRAM
#endif

constexpr char NO_PSRAM[] = "No PSRAM answers: board_build.arduino.memory_type or BOARD_HAS_PSRAM is not this board's.";

inline bool psram_answers() {
    return psramFound();
}

/* Zeroed memory, aligned to 16 bytes; null if there is not as much. */
inline void *take_psram(size_t bytes) {
    return heap_caps_aligned_calloc(16, 1, bytes, MALLOC_CAP_SPIRAM);
}

#elif defined(RP2350_PSRAM_CS)
#define HAS_PSRAM

constexpr char NO_PSRAM[] = "No PSRAM answers: this is not the board that platformio.ini names.";

inline bool psram_answers() {
    return rp2040.getPSRAMSize() > 0;
}

/* Zeroed memory, aligned to 16 bytes, while pcalloc aligns to 4; null if there is not as much. */
inline void *take_psram(size_t bytes) {
    const uintptr_t taken = reinterpret_cast<uintptr_t>(pcalloc(1, bytes + 15));
    return reinterpret_cast<void *>((taken + 15) / 16 * 16);
}

#elif defined(TL_CACHE_IN_PSRAM) || defined(TL_WEIGHTS_IN_PSRAM)
#error "PSRAM is known here on the ESP32 and on the RP2350 alone: leave psram out of the board's description"
#endif

#endif
