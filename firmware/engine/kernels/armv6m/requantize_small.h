/* Requantisation without 64-bit arithmetic, which costs a Cortex-M0+ a call for each product.
 *
 * The multiplier m < 2^31 is split into three parts, m = 2^22 m2 + 2^11 m1 + m0. With a >> 11 for floor(a / 2^11)
 *
 *     floor(v m / 2^22) = v m2 + ((v m1 + (v m0 >> 11)) >> 11)
 *
 * is exact. The rest of the shift is exact too, because its rounding half is above 2^22. For -2^20 <= v < 2^20
 * everything fits 32 bits: |v m1| + 2^20 <= 2^31 and |v m2| + 2^20 + 2^30 < 2^31.
 */
#ifndef TL_REQUANTIZE_SMALL_H
#define TL_REQUANTIZE_SMALL_H

#include <stdint.h>

#define PART 11
#define PART_BITS 0x7FFu
#define VALUE_BITS 20

/* rest: the shift minus 22, 1 to 31. half: 2^(rest - 1). */
static inline int32_t requantize_small(int32_t v, int32_t m, int32_t half, int32_t rest) {
    const int32_t low = v * (int32_t)((uint32_t)m & PART_BITS);
    const int32_t middle = v * (int32_t)((uint32_t)m >> PART & PART_BITS) + (low >> PART);
    const int32_t high = v * (m >> 2 * PART) + (middle >> PART);
    return (high + half) >> rest;
}

#endif
