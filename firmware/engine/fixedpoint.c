#include "fixedpoint.h"

#include "placement.h"

TL_HOT uint16_t tl_pack_scale(struct tl_scale scale) {
    int32_t biased = scale.exponent + TL_SCALE_EXPONENT_BIAS;
    if (scale.mantissa == 0 || biased < 0) return 0;
    return (uint16_t)((uint32_t)biased << 11 | (uint32_t)scale.mantissa);
}

TL_HOT uint32_t tl_isqrt32(uint32_t value) {
    uint32_t root = 0;
    for (uint32_t bit = 1u << 15; bit != 0; bit >>= 1) {
        uint32_t trial = root | bit;
        if (trial * trial <= value) root = trial;
    }
    return root;
}

TL_HOT struct tl_scale tl_reciprocal_sqrt(uint64_t value) {
    int32_t down = tl_bit_length64(value) - 31;
    down -= down & 1;
    uint32_t a = (uint32_t)(down >= 0 ? value >> down : value << -down); /* 2^30 .. 2^32 - 1 */
    struct tl_scale inverse = {(int32_t)(0x80000000u / tl_isqrt32(a)), -31 - (down >> 1)};
    return inverse;
}

uint32_t tl_exp2_q30(int32_t z) {
    return z > -(31 << 16) ? tl_exp2_negative_q30((uint32_t)-z) : 0;
}

TL_HOT int32_t tl_sine_q15(uint32_t phase) {
    uint32_t quarter = phase >> 30, within = phase & 0x3FFFFFFFu;
    if (quarter & 1u) within = 0x40000000u - within; /* the second and fourth quarter run backwards */
    uint32_t index = within >> 22;
    int32_t rest = (int32_t)((within >> 6) & 0xFFFFu);
    int32_t here = tl_sine_table[index], next = tl_sine_table[index < 256u ? index + 1u : 256u];
    int32_t value = here + (((next - here) * rest + (1 << 15)) >> 16);
    return quarter & 2u ? -value : value;
}

TL_HOT int32_t tl_cosine_q15(uint32_t phase) {
    return tl_sine_q15(phase + 0x40000000u);
}
