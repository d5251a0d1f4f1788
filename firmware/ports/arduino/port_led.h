/* Who lights the LED of the board: an action, once it has, or else the port, while the model thinks. */
#ifndef TL_PORT_LED_H
#define TL_PORT_LED_H

extern bool tl_led_is_taken;

/* Writes red, green and blue to an addressable LED: of arduino-esp32 2, and as its core 3 calls it. */
#if defined(ESP_ARDUINO_VERSION_MAJOR) && ESP_ARDUINO_VERSION_MAJOR >= 3
#define tl_write_rgb rgbLedWrite
#else
#define tl_write_rgb neopixelWrite
#endif

#endif
