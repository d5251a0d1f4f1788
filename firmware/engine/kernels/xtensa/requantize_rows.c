#include <stdbool.h>

#include "kernels.h"
#include "order.h"

TL_HOT static TL_APART int32_t long_way(int32_t value, uint32_t mantissa, int32_t multiplier, int32_t right) {
    return tl_requantize(value, (int32_t)mantissa * multiplier, right);
}

/* A product of more than 32 bits in two halves: a value of 17 bits times the multiplier fits a word, whose halves times
 * the mantissa do too. The floor of a shift in two steps is the floor of the whole. A larger value is rare; it goes the
 * long way. */
TL_HOT void tl_requantize_rows(int32_t *values, const uint16_t *mantissa, uint32_t n, int32_t multiplier,
                               int32_t right) {
    /* With a larger half than 2^16 the sum could overflow. */
    const bool fits = right >= 17 && right <= 33 && multiplier <= INT16_MAX;
    const int32_t rest = fits ? right - 16 : 1, half = 1 << (rest - 1);
    const uint32_t limit = fits ? 1u << 16 : 0;
    for (const int32_t *const end = values + n; values < end; values++, mantissa++) {
        const int32_t value = *values;
        if ((uint32_t)value + limit < 2 * limit) {
            const int32_t product = value * multiplier;
            const uint32_t low = (uint32_t)(product & 0xFFFF) * *mantissa;
            *values = ((product >> 16) * *mantissa + (int32_t)(low >> 16) + half) >> rest;
        } else {
            *values = long_way(value, *mantissa, multiplier, right);
        }
    }
}
