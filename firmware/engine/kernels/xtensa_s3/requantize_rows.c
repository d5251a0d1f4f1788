#include "instructions.h"
#include "kernels.h"

/* Not inlined, so that it takes no registers of the loop. */
static __attribute__((noinline)) int32_t requantize_any(int32_t value, int32_t factor, int32_t right) {
    return tl_requantize(value, factor, right);
}

/* Shifts by 32 + `down` bits: the high word of a product, shifted further and rounded. It works for every value. */
static void requantize_down(int32_t *values, const uint16_t *mantissa, uint32_t n, int32_t multiplier, int32_t down) {
    const int32_t half = (int32_t)(1u << (down - 1));
    TL_UNROLL
    for (uint32_t i = 0; i < n; i++) {
        values[i] = (tl_multiply_high(values[i], mantissa[i] * multiplier) + half) >> down;
    }
}

/* The high word of a product shifted left by 33 - right holds its bits from right - 1 on; the last bit rounds. */
void tl_requantize_rows(int32_t *values, const uint16_t *mantissa, uint32_t n, int32_t multiplier, int32_t right) {
    if (right > 33) {
        requantize_down(values, mantissa, n, multiplier, tl_min(right, 62) - 32);
        return;
    }
    const int32_t left = 33 - right;
    const uint32_t room = left >= 0 && left <= 30 ? 1u << (30 - left) : 0u; /* a shifted value stays within 2^30 */
    const int32_t scale = (int32_t)(1u << (left & 31));
    for (const uint16_t *end = mantissa + n; mantissa < end; mantissa++, values++) {
        const int32_t value = *values, factor = *mantissa * multiplier;
        if ((uint32_t)value + room < 2 * room) {
            *values = (tl_multiply_high(value * scale, factor) + 1) >> 1;
        } else {
            *values = requantize_any(value, factor, right);
        }
    }
}
