/* The LED of the board. The port lights it while the model thinks, until an action uses it. Build flags:
 *   TL_LED_PIN         a plain LED; without it LED_BUILTIN, if the core knows one
 *   TL_LED_ACTIVE_LOW  a low level lights it
 *   TL_LED_RGB_PIN     an addressable LED (WS2812) on an ESP32, instead of a plain one
 */
#ifndef TL_PORT_LED_H
#define TL_PORT_LED_H

#include <Arduino.h>

extern bool tl_led_is_taken; /* an action has used the LED */

/* Writes red, green and blue to an addressable LED: the names of arduino-esp32 3 and 2. */
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
