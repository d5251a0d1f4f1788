#include "kernels.h"
#include "vector_level.h"

/* If every result fits int32, it is the low word of the shifted product, and vectors need no saturation. It fits if
 * |value| < 2^right: the multiplier is below 2^31, so |value * multiplier / 2^right| < 2^31 - 1/2. */
TL_INLINE void requantize(int32_t *values, const uint16_t *mantissa, uint32_t n, int32_t multiplier, int32_t right) {
    int32_t largest = 0;
    for (uint32_t i = 0; i < n; i++) largest = tl_max(largest, values[i] < 0 ? -values[i] : values[i]);
    if (right < 1 || right > 32 || tl_bit_length((uint32_t)largest) > right) {
        for (uint32_t i = 0; i < n; i++) values[i] = tl_requantize(values[i], mantissa[i] * multiplier, right);
        return;
    }
    const int64_t half = (int64_t)1 << (right - 1);
    for (uint32_t i = 0; i < n; i++) {
        const int32_t factor = mantissa[i] * multiplier;
        const int64_t product = (int64_t)values[i] * factor + half;
        values[i] = (int32_t)(uint32_t)((uint64_t)product >> right);
    }
}

TL_FOR_EACH_LEVEL(requantize,
                  (int32_t * values, const uint16_t *mantissa, uint32_t n, int32_t multiplier, int32_t right),
                  (values, mantissa, n, multiplier, right))

void tl_requantize_rows(int32_t *values, const uint16_t *mantissa, uint32_t n, int32_t multiplier, int32_t right) {
    TL_AT_LEVEL(requantize, (values, mantissa, n, multiplier, right));
}
