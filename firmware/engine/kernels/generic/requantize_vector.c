#include "kernels.h"

/* The multiplier is shifted left to 31 bits. For most shifts the rounding half is then a multiple of 2^32, so the upper
 * words of the products are enough. */
TL_HOT void tl_requantize_vector(const int32_t *values, uint32_t n, int32_t multiplier, int32_t right,
                                 int32_t *results) {
    const int32_t up = 31 - tl_bit_length((uint32_t)multiplier), down = right + up - 32;
    if (multiplier == 0 || down < 1 || down > 30) {
        for (uint32_t i = 0; i < n; i++) results[i] = tl_requantize(values[i], multiplier, right);
        return;
    }
    const int32_t whole = multiplier << up, half = 1 << (down - 1);
    TL_UNROLL
    for (uint32_t i = 0; i < n; i++) {
        results[i] = ((int32_t)(((int64_t)values[i] * whole) >> 32) + half) >> down;
    }
}
