/* Requantisation without 64-bit arithmetic, which costs a Cortex-M0+ a call for each product.
 *
 * The multiplier m < 2^31 is taken in three parts, m = 2^22 m2 + 2^11 m1 + m0. With floor(a / 2^11) written a >> 11
 *
 *     floor(v m / 2^22) = v m2 + ((v m1 + (v m0 >> 11)) >> 11)
 *
 * is exact, and so is the rest of the shift with its half, which lies above 2^22. For -2^20 <= v < 2^20 all of it fits 32
 * bits: |v m1| + 2^20 <= 2^31 and |v m2| + 2^20 + 2^30 < 2^31.
 */
#include "kernels.h"
#include "requantize_any.h"

#define PART 11
#define PART_BITS 0x7FFu
#define VALUE_BITS 20

#if defined(__GNUC__)
#define UNLIKELY(condition) __builtin_expect(condition, 0)
#else
#define UNLIKELY(condition) (condition)
#endif

TL_HOT void tl_requantize_rows(int32_t *values, const uint16_t *mantissa, uint32_t n, int32_t multiplier,
                               int32_t right) {
    const int32_t rest = right - 2 * PART;
    if (rest < 1 || rest > 31) {
        for (uint32_t i = 0; i < n; i++) values[i] = requantize_any(values[i], mantissa[i] * multiplier, right);
        return;
    }
    const int32_t half = (int32_t)(1u << (rest - 1));
    for (uint32_t i = 0; i < n; i++) {
        const int32_t v = values[i], m = mantissa[i] * multiplier;
        if (UNLIKELY((uint32_t)(v >> VALUE_BITS) + 1u > 1u)) {
            values[i] = requantize_any(v, m, right);
            continue;
        }
        const int32_t low = v * (int32_t)((uint32_t)m & PART_BITS);
        const int32_t middle = v * (int32_t)((uint32_t)m >> PART & PART_BITS) + (low >> PART);
        const int32_t high = v * (m >> 2 * PART) + (middle >> PART);
        values[i] = (high + half) >> rest;
    }
}
