#include "attention.h"

#include "tables.h"

struct tl_softmax tl_softmax_weights(int32_t *scores, struct tl_scale scale, const uint16_t *v_scales, int32_t top,
                                     uint32_t slots, int32_t bits) {
    int32_t highest = scores[0];
    TL_UNROLL
    for (uint32_t t = 1; t < slots; t++) highest = tl_max(highest, scores[t]);

    /* From 2^reach on, a distance is surely 16 octaves: the mantissa is 2^14 at least. */
    const int32_t reach = tl_min(tl_max(6 - scale.exponent, 0), 32);
    const uint32_t farthest = reach == 32 ? UINT32_MAX : (1u << reach) - 1u;
    const int32_t cut = tl_max(reach - 16, 0);
    const int32_t right = tl_min(tl_max(7 - scale.exponent - cut, 1), 31);
    const uint32_t half = 1u << (right - 1), mantissa = (uint32_t)scale.mantissa;
    const int32_t biased_top = top + TL_SCALE_EXPONENT_BIAS;
    uint32_t total = 0;
    int32_t largest = 0;
    for (uint32_t t = 0; t < slots; t++) {
        const uint32_t distance = (uint32_t)highest - (uint32_t)scores[t]; /* exact modulo 2^32 */
        int32_t weight = 0;
        if (distance <= farthest) {
            const uint32_t octaves = ((distance >> cut) * mantissa + half) >> right; /* Q9, below 32 */
            const uint32_t probability = (((uint32_t)tl_softmax_table[octaves & 511u] >> (octaves >> 9)) + 1u) >> 1;
            const uint32_t packed = v_scales[t];
            total += probability;
            weight = (int32_t)((probability * (packed & 2047u)) >> (biased_top - (int32_t)(packed >> 11))); /* < 2^26 */
            largest = tl_max(largest, weight);
        }
        scores[t] = weight;
    }
    /* One bit more if rounding could carry into it. */
    const int32_t down = tl_max(tl_bit_length((uint32_t)(largest + (largest >> bits))) - bits, 0);
    return (struct tl_softmax){total, down, down + top};
}

void tl_softmax_divide(struct tl_softmax softmax, const int32_t *sums, uint32_t n, int32_t *values) {
    /* By the total as 16 bits: its reciprocal has 17. */
    const int32_t down = tl_bit_length(softmax.total) - 16;
    const int32_t inverse = (int32_t)(0x80000000u / (softmax.total >> down));
    tl_requantize_vector(sums, n, inverse, 31 + down - softmax.exponent, values);
}
