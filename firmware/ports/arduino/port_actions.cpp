/* The actions of a board itself. The [actions] table of its description sets these build flags:
 *   TL_LED_PIN             a plain LED: led.set lights it, whatever the colour, and led.blink (port_led.h)
 *   TL_LED_RGB_PIN         an addressable LED (WS2812) on an ESP32, instead of a plain one
 *   TL_ACTION_SERVO_PIN    servo.set: a pulse of 0.5 to 2.5 ms, 50 times a second
 *   TL_ACTION_RELAYS       relay.set: the pins of relay 1, 2, ..., with commas between
 *   TL_ACTION_PINS         pin.write: a bit for each pin that is free
 *   TL_ACTION_TEMPERATURE  sensor.read: the chip's own sensor
 * Other calls go to the host, or to a handler in a file of the maker's own (actions.h).
 */
#include <Arduino.h>

#include "actions.h"
#include "port.h"
#include "port_led.h"

#if defined(TL_ACTION_SERVO_PIN) && defined(ARDUINO_ARCH_RP2040)
#include <hardware/pwm.h>
#endif

bool tl_led_is_taken;

namespace {

#if defined(TL_LED_PIN) || defined(TL_LED_RGB_PIN)
constexpr uint32_t BLINK_MS = 75; /* time lit, and time dark: twenty blinks take three seconds */

#if defined(TL_LED_RGB_PIN)
struct Color {
    const char *name;
    uint8_t red, green, blue;
};

const Color COLORS[] = {{"red", 64, 0, 0},     {"green", 0, 64, 0},   {"blue", 0, 0, 64},    {"white", 40, 40, 40},
                        {"yellow", 48, 40, 0}, {"purple", 40, 0, 48}, {"orange", 60, 20, 0}, {"pink", 56, 16, 28}};

void light(const Color *color) {
    tl_write_rgb(TL_LED_RGB_PIN, color ? color->red : 0, color ? color->green : 0, color ? color->blue : 0);
}
#endif

bool set_led(const tinyllm_call *call, tinyllm_result *) {
    tl_led_is_taken = true;
#if defined(TL_LED_RGB_PIN)
    for (const Color &color : COLORS) {
        if (tinyllm_is(call, "color", color.name)) {
            light(&color);
            return true;
        }
    }
    return false;
#else
    (void)call;
    tl_write_led(TL_LED_PIN, true);
    return true;
#endif
}

bool blink_led(const tinyllm_call *call, tinyllm_result *) {
    tl_led_is_taken = true;
    for (int32_t i = tinyllm_number(call, "times"); i > 0; i--) {
#if defined(TL_LED_RGB_PIN)
        light(&COLORS[3]);
        delay(BLINK_MS);
        light(nullptr);
#else
        tl_write_led(TL_LED_PIN, true);
        delay(BLINK_MS);
        tl_write_led(TL_LED_PIN, false);
#endif
        delay(BLINK_MS);
    }
    return true;
}
#endif

#if defined(TL_ACTION_SERVO_PIN)
constexpr int32_t PERIOD_US = 20000;

bool set_servo(const tinyllm_call *call, tinyllm_result *) {
    const int32_t pulse_us = 500 + 2000 * tinyllm_number(call, "angle") / 180;
#if defined(ARDUINO_ARCH_ESP32)
    constexpr uint8_t BITS = 12;
#if defined(ESP_ARDUINO_VERSION_MAJOR) && ESP_ARDUINO_VERSION_MAJOR >= 3
    analogWriteResolution(TL_ACTION_SERVO_PIN, BITS);
    analogWriteFrequency(TL_ACTION_SERVO_PIN, 1000000 / PERIOD_US);
#else
    analogWriteResolution(BITS);
    analogWriteFrequency(1000000 / PERIOD_US);
#endif
    analogWrite(TL_ACTION_SERVO_PIN, static_cast<int>((pulse_us << BITS) / PERIOD_US));
#elif defined(TEENSYDUINO)
    constexpr uint8_t BITS = 12;
    (void)analogWriteResolution(BITS);
    analogWriteFrequency(TL_ACTION_SERVO_PIN, 1000000.0f / PERIOD_US);
    analogWrite(TL_ACTION_SERVO_PIN, static_cast<int>((pulse_us << BITS) / PERIOD_US));
#else
    /* The core's analogWrite goes down to 100 Hz only, so the PWM is set up here. Its counter counts microseconds. */
    const unsigned slice = pwm_gpio_to_slice_num(TL_ACTION_SERVO_PIN);
    gpio_set_function(TL_ACTION_SERVO_PIN, GPIO_FUNC_PWM);
    pwm_set_clkdiv_int_frac(slice, static_cast<uint8_t>(F_CPU / 1000000), 0);
    pwm_set_wrap(slice, PERIOD_US - 1);
    pwm_set_gpio_level(TL_ACTION_SERVO_PIN, static_cast<uint16_t>(pulse_us));
    pwm_set_enabled(slice, true);
#endif
    return true;
}
#endif

#if defined(TL_ACTION_RELAYS)
const uint8_t RELAYS[] = {TL_ACTION_RELAYS};

bool set_relay(const tinyllm_call *call, tinyllm_result *result) {
    const int32_t id = tinyllm_number(call, "id");
    if (id < 1 || id > static_cast<int32_t>(sizeof RELAYS)) {
        tinyllm_say(result, "error: no such relay");
        return false;
    }
    pinMode(RELAYS[id - 1], OUTPUT);
    digitalWrite(RELAYS[id - 1], tinyllm_flag(call, "on") ? HIGH : LOW);
    return true;
}
#endif

#if defined(TL_ACTION_PINS)
bool write_pin(const tinyllm_call *call, tinyllm_result *result) {
    const int32_t pin = tinyllm_number(call, "pin");
    if (pin < 0 || pin > 63 || (TL_ACTION_PINS >> pin & 1u) == 0) {
        tinyllm_say(result, "error: this pin is not free");
        return false;
    }
    pinMode(static_cast<uint8_t>(pin), OUTPUT);
    digitalWrite(static_cast<uint8_t>(pin), tinyllm_flag(call, "on") ? HIGH : LOW);
    return true;
}
#endif

#if defined(TL_ACTION_TEMPERATURE)
bool read_sensor(const tinyllm_call *call, tinyllm_result *result) {
    if (!tinyllm_is(call, "kind", "temperature")) {
        tinyllm_say(result, "error: no such sensor");
        return false;
    }
#if defined(ARDUINO_ARCH_ESP32)
    const float celsius = temperatureRead();
#elif defined(TEENSYDUINO)
    const float celsius = tempmonGetTemp();
#else
    const float celsius = analogReadTemp();
#endif
    tinyllm_say_number(result, static_cast<int32_t>(celsius < 0 ? celsius - 0.5f : celsius + 0.5f));
    return true;
}
#endif

} // namespace

extern "C" void tl_port_actions(void) {
#if defined(TL_LED_PIN) || defined(TL_LED_RGB_PIN)
    (void)tinyllm_action("led.set", set_led);
    (void)tinyllm_action("led.blink", blink_led);
#endif
#if defined(TL_ACTION_SERVO_PIN)
    (void)tinyllm_action("servo.set", set_servo);
#endif
#if defined(TL_ACTION_RELAYS)
    (void)tinyllm_action("relay.set", set_relay);
#endif
#if defined(TL_ACTION_PINS)
    (void)tinyllm_action("pin.write", write_pin);
#endif
#if defined(TL_ACTION_TEMPERATURE)
    (void)tinyllm_action("sensor.read", read_sensor);
#endif
}
