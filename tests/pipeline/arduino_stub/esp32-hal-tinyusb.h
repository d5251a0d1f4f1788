/* TinyUSB's calls that the port makes, as arduino-esp32 2.0.17 brings them to where it makes the USB port in software. */
#ifndef ESP32_HAL_TINYUSB_H
#define ESP32_HAL_TINYUSB_H

#include <stdint.h>

extern "C" {
uint32_t tud_cdc_n_write_available(uint8_t itf);
uint32_t tud_cdc_n_write(uint8_t itf, void const *buffer, uint32_t bufsize);
uint32_t tud_cdc_n_write_flush(uint8_t itf);
}

#endif
