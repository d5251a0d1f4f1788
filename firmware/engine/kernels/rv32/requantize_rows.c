#include <stdbool.h>

#include "kernels.h"

/* The high word of a product holds twice the result, if the value and the mantissa are moved up until their product has
 * 2^31 for the half. A value that leaves no room for that is rare; it goes the long way. */
TL_HOT void tl_requantize_rows(int32_t *values, const uint16_t *mantissa, uint32_t n, int32_t multiplier,
                               int32_t right) {
    const bool fits = right >= 1 && right <= 31;
    const int32_t up = fits ? 32 - right : 0;
    const uint32_t limit = fits ? 1u << (right - 1) : 0;
    for (const int32_t *const end = values + n; values < end; values++, mantissa++) {
        const int32_t value = *values;
        if ((uint32_t)value + limit < 2 * limit) {
            const uint32_t doubled = *mantissa * (2u * (uint32_t)multiplier);
            const int32_t high = (int32_t)(((int64_t)(int32_t)((uint32_t)value << up) * (int64_t)doubled) >> 32);
            *values = (high + 1) >> 1;
        } else {
            *values = tl_requantize(value, *mantissa * multiplier, right);
        }
    }
}
