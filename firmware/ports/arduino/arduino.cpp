/* The port for every board with an Arduino core: setup() and loop() around the console.
 *
 * The console uses Serial: the board's own USB port if it has one, else its UART behind a USB bridge. Engine and
 * console run in loop(). On the Pico that is core 0; on the ESP32 it is a task on core 1, while core 0 runs USB and the
 * system. The other core does its part of the large jobs (second_core.cpp).
 *
 * A board's [actions] table says which LED is lit while the model thinks (port_led.h).
 */
#include <Arduino.h>

#include "call_tables.h"
#include "console.h"
#include "frames.h"
#include "model.h"
#include "port.h"
#include "port_led.h"
#include "port_psram.h"
#include "second_core.h"

#if defined(TL_WEIGHTS_APART) && !defined(TL_WEIGHTS_ADDRESS)
#if !defined(ARDUINO_ARCH_ESP32)
#error "a partition of weights is known here on the ESP32 alone: give the address in the board's description"
#endif
#include <esp_partition.h>
#endif

#if defined(ARDUINO_ARCH_ESP32) && defined(ARDUINO_USB_MODE) && defined(ARDUINO_USB_CDC_ON_BOOT)
#if !ARDUINO_USB_MODE && ARDUINO_USB_CDC_ON_BOOT
#define USB_IN_SOFTWARE /* Serial is TinyUSB, as on the ESP32-S2, which has no USB-Serial/JTAG */
#include <esp32-hal-tinyusb.h>
#endif
#endif

namespace {

constexpr unsigned long BAUD = 115200;
constexpr uint32_t STALL_MS = 1000; /* output is dropped if the reader has taken nothing for this time */

/* ESP32: a task that never waits starves the idle task of its core. A watchdog watches that of core 0 and resets the
   board after 5 s (CONFIG_ESP_TASK_WDT_TIMEOUT_S, CONFIG_ESP_TASK_WDT_PANIC). One tick of rest a second feeds the
   watchdog and costs a thousandth of the time. The rest is between two tokens, so a token must take less than 5 s:
   docs/boards.md. */
constexpr uint32_t REST_EVERY_MS = 1000;

#if defined(TL_CACHE_IN_PSRAM) || defined(TL_WEIGHTS_IN_PSRAM)
template <typename Memory> bool get_from_psram(Memory *&memory, size_t bytes) {
    memory = static_cast<Memory *>(take_psram(bytes));
    return memory != nullptr;
}
#endif
#if defined(TL_CACHE_IN_PSRAM)
constexpr uint32_t COMPLAIN_EVERY_MS = 2000;
bool complete; /* whether the model got all the memory that it needs */
#endif

#if defined(TL_WEIGHTS_APART)
#if defined(TL_WEIGHTS_ADDRESS)
void attach_weights() {
    tl_weights_attach(reinterpret_cast<const uint8_t *>(TL_WEIGHTS_ADDRESS), TL_WEIGHTS_ROOM);
}
#else
constexpr int WEIGHTS_SUBTYPE = 0x40; /* as in partitions.csv */

/* Maps the image's part of the partition, in pages of 64 KB, until the program ends. */
void attach_weights() {
    const esp_partition_t *partition = esp_partition_find_first(
        ESP_PARTITION_TYPE_DATA, static_cast<esp_partition_subtype_t>(WEIGHTS_SUBTYPE), "weights");
    if (partition == nullptr) {
        return;
    }
    const uint32_t size = partition->size < TL_WEIGHTS_IMAGE_BYTES ? partition->size : TL_WEIGHTS_IMAGE_BYTES;
    const void *image;
#if defined(ESP_IDF_VERSION_MAJOR) && ESP_IDF_VERSION_MAJOR >= 5
    esp_partition_mmap_handle_t handle;
    const esp_err_t error = esp_partition_mmap(partition, 0, size, ESP_PARTITION_MMAP_DATA, &image, &handle);
#else
    spi_flash_mmap_handle_t handle;
    const esp_err_t error = esp_partition_mmap(partition, 0, size, SPI_FLASH_MMAP_DATA, &image, &handle);
#endif
    if (error == ESP_OK) {
        tl_weights_attach(static_cast<const uint8_t *>(image), size);
    }
}
#endif
#endif

bool stalled; /* the reader has stopped taking output */
uint32_t rested_at;

uint32_t now_ms() {
    return static_cast<uint32_t>(millis());
}

/* Writes as many of the bytes as there is room for, and returns how many. */
size_t write_some(const uint8_t *bytes, uint32_t n) {
#if defined(USB_IN_SOFTWARE)
    /* Serial.write sends only while DTR is high, but the tinyllm tool keeps it low. TinyUSB sends to any reader. */
    const uint32_t space = tud_cdc_n_write_available(0);
    const size_t written = tud_cdc_n_write(0, bytes, n < space ? n : space);
    (void)tud_cdc_n_write_flush(0);
    return written;
#else
    return Serial.write(bytes, n);
#endif
}

void rest() {
    delay(1);
    rested_at = now_ms();
    (void)tl_port_micros(); /* it must be called often enough to see every wrap of micros() */
}

} // namespace

void setup() {
#if defined(ARDUINO_ARCH_ESP32)
    /* The buffer holds the longest prompt and a CANCEL after it: during a forward pass nothing is read. */
    Serial.setRxBufferSize(TL_RECEIVE_MAX + 256u);
#endif
#if !defined(TEENSYDUINO) /* there it would only wait for DTR, and our tool keeps it low */
    Serial.begin(BAUD);
#endif
#if defined(ARDUINO_ARCH_RP2040)
    /* The core sends only while DTR is high. The tinyllm tool keeps it low, because raising it resets other boards. */
    Serial.ignoreFlowControl(true);
#endif
#if defined(TL_LED_PIN)
    pinMode(TL_LED_PIN, OUTPUT);
#elif defined(LED_BUILTIN) && !defined(TL_LED_RGB_PIN)
    pinMode(LED_BUILTIN, OUTPUT);
#endif
    tl_port_thinking(false);
#if defined(TL_CACHE_IN_PSRAM)
    complete = get_from_psram(tl_cache_memory, sizeof *tl_cache_memory);
#if defined(TL_STATE_IN_PSRAM)
    complete = complete && get_from_psram(tl_state_memory, sizeof *tl_state_memory);
#endif
    if (!complete) {
        return;
    }
#elif defined(HAS_PSRAM)
    /* This program does not need PSRAM, but a larger one would: so the user learns of a wrong memory type now. */
    if (!psram_answers()) {
        Serial.println(NO_PSRAM);
    }
#endif
#if defined(TL_WEIGHTS_APART)
    attach_weights();
#endif
#if defined(TL_WEIGHTS_IN_PSRAM)
    uint8_t *memory;
    if (get_from_psram(memory, TL_WEIGHTS_IN_PSRAM)) { /* without PSRAM the weights are read from flash */
        tl_weights_move(memory);
    }
#endif
    tl_second_core_start();
    tl_console_start();
}

void loop() {
#if defined(TL_CACHE_IN_PSRAM)
    if (!complete) {
        Serial.println(NO_PSRAM);
        delay(COMPLAIN_EVERY_MS);
        return;
    }
#endif
    const bool more = tl_console_poll();
    if (!more || now_ms() - rested_at >= REST_EVERY_MS) {
        rest();
    }
}

extern "C" int tl_port_read(void) {
    return Serial.available() > 0 ? Serial.read() : -1;
}

extern "C" void tl_port_write(const uint8_t *bytes, uint32_t n) {
    uint32_t progress_at = now_ms();
    while (n > 0) {
        const size_t written = write_some(bytes, n);
        if (written > 0) {
            stalled = false;
            progress_at = now_ms();
            bytes += written;
            n -= static_cast<uint32_t>(written);
        } else if (stalled || now_ms() - progress_at >= STALL_MS) {
            stalled = true;
            return;
        } else {
            delay(1);
        }
    }
}

/* micros() wraps after 71 minutes. */
extern "C" uint64_t tl_port_micros(void) {
    static uint32_t last, wraps;
    const uint32_t now = static_cast<uint32_t>(micros());
    wraps += now < last;
    last = now;
    return static_cast<uint64_t>(wraps) << 32 | now;
}

extern "C" bool tl_port_stack(uint32_t *used, uint32_t *size) {
#if defined(ARDUINO_ARCH_ESP32)
    /* In bytes, not in words as in other versions of FreeRTOS: ESP-IDF, "FreeRTOS (Supplemental Features)". */
    *size = static_cast<uint32_t>(getArduinoLoopTaskStackSize());
    *used = *size - static_cast<uint32_t>(uxTaskGetStackHighWaterMark(nullptr));
    return true;
#else
    (void)used;
    (void)size;
    return false;
#endif
}

extern "C" void tl_port_thinking(bool thinking) {
#if TL_ACTIONS
    if (tl_led_is_taken) {
        return;
    }
#endif
#if defined(TL_LED_PIN)
    tl_write_led(TL_LED_PIN, thinking);
#elif defined(TL_LED_RGB_PIN)
    tl_write_rgb(TL_LED_RGB_PIN, 0, 0, thinking ? 32 : 0);
#elif defined(LED_BUILTIN)
    tl_write_led(LED_BUILTIN, thinking); /* the ESP32's core lights an addressable LED white */
#else
    (void)thinking;
#endif
}
