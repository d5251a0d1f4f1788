#include <stdbool.h>

#include "kernels.h"
#include "order.h"

/* The high word of value * factor, 0 <= factor < 2^31, from four products of halves. Its magnitude is below 2^30. */
static inline int32_t high_word(int32_t value, uint32_t factor) {
    const uint32_t low = factor & 0xFFFFu, value_low = (uint32_t)value & 0xFFFFu;
    const int32_t high = (int32_t)(factor >> 16), value_high = value >> 16;
    const int32_t middle = value_high * (int32_t)low + (int32_t)(value_low * low >> 16);
    const uint32_t other = value_low * (uint32_t)high + ((uint32_t)middle & 0xFFFFu); /* < 2^31 */
    return value_high * high + (middle >> 16) + (int32_t)(other >> 16);
}

/* Requantises a value that the fast loop cannot take. If it can be shifted left until the high word of the product
 * holds twice the result, that is done; otherwise it takes 64-bit arithmetic. */
TL_HOT static TL_APART int32_t large_value(int32_t value, uint32_t factor, int32_t right) {
    const int32_t up = 33 - right;
    if (up < 30 && value >> (31 - up) == value >> 31) {
        return (high_word((int32_t)((uint32_t)value << up), factor) + 1) >> 1;
    }
    return tl_requantize(value, (int32_t)factor, right);
}

/* A value of 17 bits times the multiplier fits a word. Each half of this word times the mantissa fits a word too, so no
 * product needs more than 32 bits. Shifting in two steps gives the same floor as one shift. Larger values, which int4
 * matrices have, take four products. */
TL_HOT void tl_requantize_rows(int32_t *values, const uint16_t *mantissa, uint32_t n, int32_t multiplier,
                               int32_t right) {
    const int32_t *const end = values + n;
    if (right > 33) {
        const int32_t down = tl_min(right - 33, 29); /* tl_requantize shifts by 62 at most, too */
        for (; values < end; values++, mantissa++) {
            const uint32_t factor = *mantissa * (uint32_t)multiplier;
            *values = ((high_word(*values, factor) >> down) + 1) >> 1;
        }
        return;
    }
    /* If the half were larger than 2^16, the sum could overflow. */
    const bool fits = right >= 17 && multiplier <= INT16_MAX;
    const int32_t rest = fits ? right - 16 : 1, half = 1 << (rest - 1);
    const uint32_t limit = fits ? 1u << 16 : 0;
    for (; values < end; values++, mantissa++) {
        const int32_t value = *values;
        if ((uint32_t)value + limit < 2 * limit) {
            const int32_t product = value * multiplier;
            const uint32_t low = (uint32_t)(product & 0xFFFF) * *mantissa;
            *values = ((product >> 16) * *mantissa + (int32_t)(low >> 16) + half) >> rest;
        } else {
            *values = large_value(value, *mantissa * (uint32_t)multiplier, right);
        }
    }
}
