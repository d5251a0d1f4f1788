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

#define PART 11
#define PART_BITS 0x7FFu
#define VALUE_BITS 20

#if defined(__GNUC__)
#define APART __attribute__((noinline)) /* else its registers would be missing in the loops below */
#define UNLIKELY(condition) __builtin_expect(condition, 0)
#else
#define APART
#define UNLIKELY(condition) (condition)
#endif

APART static int32_t requantize_in_64_bits(int32_t value, int32_t multiplier, int32_t right) {
    return tl_requantize(value, multiplier, right);
}

/* Any value: the product of halves in two words. Only a result of 31 bits or more, or a shift to the left, takes the long
 * way. */
APART static int32_t requantize_any(int32_t value, int32_t multiplier, int32_t right) {
    const uint32_t value_low = (uint32_t)value & 0xFFFFu, low = (uint32_t)multiplier & 0xFFFFu;
    const int32_t value_high = value >> 16, high = multiplier >> 16;
    const uint32_t lowest = value_low * low;
    const int32_t middle = value_high * (int32_t)low + (int32_t)(lowest >> 16);
    const uint32_t other = value_low * (uint32_t)high + ((uint32_t)middle & 0xFFFFu); /* < 2^31 */
    const int32_t upper = value_high * high + (middle >> 16) + (int32_t)(other >> 16);
    const int32_t before = right - 1; /* the last bit is rounded */
    if (before >= 32) return ((upper >> tl_min(before - 32, 29)) + 1) >> 1;
    if (before < 1) return requantize_in_64_bits(value, multiplier, right);
    const uint32_t lower = other << 16 | (lowest & 0xFFFFu);
    const int32_t doubled = (int32_t)((uint32_t)upper << (32 - before) | lower >> before);
    if (upper >> before != doubled >> 31) return requantize_in_64_bits(value, multiplier, right);
    return (doubled >> 1) + (doubled & 1);
}

void tl_requantize_rows(int32_t *values, const uint16_t *mantissa, uint32_t n, int32_t multiplier, int32_t right) {
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

void tl_requantize_vector(const int32_t *values, uint32_t n, int32_t multiplier, int32_t right, int32_t *results) {
    for (uint32_t i = 0; i < n; i++) results[i] = requantize_any(values[i], multiplier, right);
}
