/* The integer primitives, bit for bit those of codegen/arithmetic/fixedpoint.py, which defines them.
 *
 * Real values are Q16.16 int32, saturated to +-(2^31 - 1). A scale is mantissa * 2^exponent. Shifts of negative numbers
 * are arithmetic.
 */
#ifndef TL_FIXEDPOINT_H
#define TL_FIXEDPOINT_H

#include <stdint.h>

#include "tables.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TL_FRACTION_BITS 16
#define TL_SCALE_EXPONENT_BIAS 16

/* The arithmetic needs arithmetic right shifts of negative numbers; other compilers stop here. */
typedef char tl_assert_arithmetic_shift[((-3) >> 1) == -2 ? 1 : -1];

/* Unrolls the short loop that follows four times. */
#if defined(__GNUC__) && !defined(__clang__)
#define TL_UNROLL _Pragma("GCC unroll 4")
#else
#define TL_UNROLL
#endif

struct tl_scale {
    int32_t mantissa;
    int32_t exponent;
};

static inline int32_t tl_saturate(int64_t value) {
    return value > INT32_MAX ? INT32_MAX : value < -INT32_MAX ? -INT32_MAX : (int32_t)value;
}

static inline int32_t tl_min(int32_t a, int32_t b) {
    return a < b ? a : b;
}

static inline int32_t tl_max(int32_t a, int32_t b) {
    return a > b ? a : b;
}

/* saturate(a + b) */
static inline int32_t tl_add(int32_t a, int32_t b) {
#if defined(__GNUC__)
    int32_t sum;
    if (__builtin_add_overflow(a, b, &sum)) return a < 0 ? -INT32_MAX : INT32_MAX;
    return tl_max(sum, -INT32_MAX);
#else
    return tl_saturate((int64_t)a + b);
#endif
}

static inline uint32_t tl_magnitude(int32_t value) {
    const int32_t sign = -(value < 0);
    return (uint32_t)((value ^ sign) - sign);
}

/* The number of bits of a value: 0 for 0, 1 for 1, 2 for 2 and 3. */
static inline int32_t tl_bit_length(uint32_t value) {
#if defined(__GNUC__)
    return value == 0 ? 0 : 32 - __builtin_clz(value);
#else
    int32_t bits = 0;
    for (; value != 0; value >>= 1) bits++;
    return bits;
#endif
}

static inline int32_t tl_bit_length64(uint64_t value) {
    uint32_t high = (uint32_t)(value >> 32);
    return high != 0 ? 32 + tl_bit_length(high) : tl_bit_length((uint32_t)value);
}

/* value >> right towards minus infinity, or value << -right; the result must fit. -31 <= right <= 31. One of the two
 * shifts is by 0. Both distances are constant in a loop, so the loop has no branch. */
static inline int32_t tl_shift(int32_t value, int32_t right) {
    return (int32_t)((uint32_t)(value >> tl_max(right, 0)) << tl_max(-right, 0));
}

/* value / 2^right to nearest, ties up. |value| < 2^62, 0 <= right <= 62 */
static inline int64_t tl_rounding_shift(int64_t value, int32_t right) {
    return right > 0 ? (value + ((int64_t)1 << (right - 1))) >> right : value;
}

/* saturate(accumulator * multiplier / 2^right) to nearest, ties up. 0 <= multiplier; any right */
static inline int32_t tl_requantize(int32_t accumulator, int32_t multiplier, int32_t right) {
    int64_t product = (int64_t)accumulator * multiplier;
    if (right >= 0) return tl_saturate(tl_rounding_shift(product, tl_min(right, 62)));
    return tl_saturate(tl_saturate(product) * ((int64_t)1 << tl_min(-right, 31)));
}

/* The same scale with at most 15 bits of mantissa; lower bits are cut off. */
static inline struct tl_scale tl_normalize_scale(uint32_t mantissa, int32_t exponent) {
    int32_t down = tl_max(tl_bit_length(mantissa) - 15, 0);
    struct tl_scale scale = {(int32_t)(mantissa >> down), exponent + down};
    return scale;
}

/* Packs a scale into 16 bits for the KV cache: 5 bits of biased exponent, 11 bits of mantissa; 0 is the zero scale. */
uint16_t tl_pack_scale(struct tl_scale scale);

static inline struct tl_scale tl_unpack_scale(uint16_t packed) {
    struct tl_scale scale = {packed & 2047, (packed >> 11) - TL_SCALE_EXPONENT_BIAS};
    return scale;
}

uint32_t tl_isqrt32(uint32_t value);

/* 1 / sqrt(value) for 0 < value < 2^63; the mantissa is in [2^15, 2^16]. */
struct tl_scale tl_reciprocal_sqrt(uint64_t value);

/* 2^(-z / 65536) in Q30, z < 32 << 16. */
static inline uint32_t tl_exp2_negative_q30(uint32_t z) {
    const uint32_t pair = 2u * ((z >> 8) & 255u), *entry = tl_exp2_table + pair;
    uint32_t fraction = entry[0] - ((entry[1] * (z & 255u) + 128u) >> 8);
    return fraction >> (z >> 16);
}

/* 2^(z / 65536) in Q30, z <= 0. */
uint32_t tl_exp2_q30(int32_t z);

/* sigmoid(x) in Q15, 0 to 32768, of x in Q16.16. */
static inline int32_t tl_sigmoid_q15(int32_t x) {
    const int32_t sign = -(x < 0), magnitude = tl_min((x ^ sign) - sign, (16 << 16) - 1);
    const uint16_t *here = tl_sigmoid_table + (magnitude >> 11);
    const int32_t positive = here[0] + (((here[1] - here[0]) * (magnitude & 2047) + 1024) >> 11);
    return (positive ^ sign) + (32769 & sign); /* 32768 - positive for a negative x */
}

/* sin and cos of 2 pi phase / 2^32 in Q15, within +-32767. */
int32_t tl_sine_q15(uint32_t phase);
int32_t tl_cosine_q15(uint32_t phase);

#ifdef __cplusplus
}
#endif

#endif
