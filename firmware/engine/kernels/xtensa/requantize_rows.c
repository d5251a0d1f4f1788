#include <stdbool.h>

#include "kernels.h"

/* A product of more than 32 bits in two halves: a value of 16 bits times its mantissa fits a word, whose halves times the
 * multiplier do too. The floor of a shift in two steps is the floor of the whole. A larger value is rare; it goes the
 * long way. */
void tl_requantize_rows(int32_t *values, const uint16_t *mantissa, uint32_t n, int32_t multiplier, int32_t right) {
    const bool fits = right >= 17 && right <= 47 && multiplier <= INT16_MAX;
    const int32_t rest = fits ? right - 16 : 0, half = (int32_t)((1u << rest) >> 1);
    const uint32_t limit = fits ? 1u << 15 : 0;
    for (const int32_t *const end = values + n; values < end; values++, mantissa++) {
        const int32_t value = *values;
        if ((uint32_t)value + limit < 2 * limit) {
            const int32_t product = value * *mantissa;
            const int32_t low = (int32_t)(((uint32_t)(product & 0xFFFF) * (uint32_t)multiplier) >> 16);
            *values = ((product >> 16) * multiplier + low + half) >> rest;
        } else {
            *values = tl_requantize(value, *mantissa * multiplier, right);
        }
    }
}
