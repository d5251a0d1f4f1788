/* The calls of the Pico SDK that an action makes: hardware_pwm and hardware_gpio of SDK 1.5 and 2.0. */
#ifndef HARDWARE_PWM_H
#define HARDWARE_PWM_H

#include <stdbool.h>
#include <stdint.h>

enum gpio_function { GPIO_FUNC_PWM = 4 };

extern "C" void gpio_set_function(unsigned gpio, gpio_function fn);
static inline unsigned pwm_gpio_to_slice_num(unsigned gpio) {
    return gpio >> 1u & 7u;
}
static inline void pwm_set_clkdiv_int_frac(unsigned, uint8_t, uint8_t) {}
static inline void pwm_set_wrap(unsigned, uint16_t) {}
static inline void pwm_set_gpio_level(unsigned, uint16_t) {}
static inline void pwm_set_enabled(unsigned, bool) {}

#endif
