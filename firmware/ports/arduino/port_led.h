/* The LED of the board. An action lights it, or until one has, the port while the model thinks. By build flags:
 *   TL_LED_PIN         a plain LED; without it LED_BUILTIN, if the core knows one
 *   TL_LED_ACTIVE_LOW  a low level lights it
 *   TL_LED_RGB_PIN     an addressable one (WS2812) on an ESP32, in its place
 */
#ifndef TL_PORT_LED_H
#define TL_PORT_LED_H

#include <Arduino.h>

extern bool tl_led_is_taken;

/* Writes red, green and blue to an addressable LED: of arduino-esp32 2, and as its core 3 calls it. */
#if defined(ESP_ARDUINO_VERSION_MAJOR) && ESP_ARDUINO_VERSION_MAJOR >= 3
#define tl_write_rgb rgbLedWrite
#else
#define tl_write_rgb neopixelWrite
#endif

inline void tl_write_led(uint8_t pin, bool lit) {
#if defined(TL_LED_ACTIVE_LOW)
    lit = !lit;
#endif
    digitalWrite(pin, lit ? HIGH : LOW);
}

#endif
