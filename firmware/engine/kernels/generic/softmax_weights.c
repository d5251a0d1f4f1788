#include "softmax.h"

TL_HOT struct tl_softmax tl_softmax_weights(int32_t *scores, struct tl_scale scale, const uint16_t *v_scales,
                                            int32_t top, uint32_t slots, int32_t bits) {
    int32_t highest = scores[0];
    TL_UNROLL
    for (uint32_t t = 1; t < slots; t++) highest = tl_max(highest, scores[t]);

    const struct tl_octaves how = tl_octaves_of(scale);
    uint32_t total = 0;
    int32_t largest = 0;
    for (uint32_t t = 0; t < slots; t++) {
        const uint32_t distance = (uint32_t)highest - (uint32_t)scores[t]; /* exact modulo 2^32 */
        int32_t weight = 0;
        if (distance <= how.farthest) {
            const uint32_t probability = tl_probability(&how, distance);
            total += probability;
            weight = tl_slot_weight(probability, v_scales[t], top);
            largest = tl_max(largest, weight);
        }
        scores[t] = weight;
    }
    return tl_softmax_of(total, largest, top, bits);
}
