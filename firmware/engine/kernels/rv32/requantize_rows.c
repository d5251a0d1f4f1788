#include <stdbool.h>

#include "kernels.h"

/* Value and mantissa are shifted left until the high word of their product holds twice the result; its last bit rounds.
 * A value too large for that is rare; it takes 64-bit arithmetic. */
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
