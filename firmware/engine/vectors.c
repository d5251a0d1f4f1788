#include "vectors.h"

#include "kernels.h"
#include "placement.h"

TL_HOT int32_t tl_magnitude_bits(const int32_t *vector, uint32_t n) {
    uint32_t bits = 0;
    TL_UNROLL
    for (uint32_t i = 0; i < n; i++) bits |= tl_magnitude(vector[i]);
    return tl_bit_length(bits);
}

TL_HOT uint32_t tl_largest(const int32_t *vector, uint32_t n) {
    uint32_t largest = 0;
    TL_UNROLL
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t value = tl_magnitude(vector[i]);
        largest = value > largest ? value : largest;
    }
    return largest;
}

TL_HOT struct tl_scale tl_quantize_int8(const int32_t *vector, uint32_t n, int8_t *codes) {
    return tl_quantize_to(vector, n, tl_largest(vector, n), codes);
}

TL_HOT struct tl_scale tl_quantize_to(const int32_t *vector, uint32_t n, uint32_t largest, int8_t *codes) {
    struct tl_scale scale = {0, 0};
    if (largest == 0) {
        for (uint32_t i = 0; i < n; i++) codes[i] = 0;
        return scale;
    }
    int32_t down = tl_bit_length(largest) - 15;
    /* 15 bits, rounded up, because a shift floors a negative extreme to a magnitude that may be larger by one. */
    uint32_t fifteen = down > 0 ? (largest + (1u << down) - 1u) >> down : largest << -down;
    /* (4 fifteen + 126) / 127: 16513 / 2^21 is a little less than 1 / 127, for 127 * 16513 = 2^21 - 1. Adding 127
     * instead of 126 makes up for it below 2^21. */
    scale.mantissa = (int32_t)((4u * fifteen + 127u) * 16513u >> 21);
    scale.exponent = down - 2;
    /* A left shift of the values is applied to the reciprocal instead: at most 2^16 * 2^14. */
    const int32_t right = tl_max(down, 0), reciprocal = (1 << 25) / scale.mantissa * (1 << tl_max(-down, 0));
    tl_quantize_codes(vector, n, right, reciprocal, codes);
    return scale;
}

TL_HOT struct tl_scale tl_rmsnorm_int8(const int32_t *x, const int16_t *gain, uint32_t n, uint64_t epsilon,
                                       int32_t *products, int8_t *codes) {
    const int32_t down = tl_magnitude_bits(x, n) - 15;
    uint64_t total = down >= 0 ? epsilon >> (2 * down) : epsilon << (-2 * down);
    const uint32_t largest = tl_gain_products(x, gain, n, down, products, &total);
    struct tl_scale scaled = tl_quantize_to(products, n, largest, codes);
    struct tl_scale inverse = tl_reciprocal_sqrt(total == 0 ? 1 : total);
    return tl_normalize_scale((uint32_t)scaled.mantissa * (uint32_t)inverse.mantissa,
                              scaled.exponent + inverse.exponent);
}

TL_HOT int32_t tl_rotate(const int32_t *head, uint32_t n, const int16_t *cosine, const int16_t *sine, uint32_t half,
                         int32_t *turned) {
    const int32_t down = tl_magnitude_bits(head, n) - 15;
    for (uint32_t i = 0; i < half; i++) {
        int32_t first = tl_shift(head[i], down), second = tl_shift(head[i + half], down);
        turned[i] = first * cosine[i] - second * sine[i];
        turned[i + half] = first * sine[i] + second * cosine[i];
    }
    for (uint32_t i = 2 * half; i < n; i++) turned[i] = tl_shift(head[i], down) * (1 << 15);
    return down - 15;
}

TL_HOT void tl_add_q16(int32_t *y, const int32_t *bias, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) y[i] = tl_add(y[i], bias[i]);
}
