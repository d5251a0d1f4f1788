#include "softmax.h"

/* Weighs all slots, for a scale with down = 0, as all but the smallest have. The loop's constants stay in registers. */
static inline void weigh_slots(struct tl_weighing *job) {
    const struct tl_weighing same = *job;
    const uint16_t *v_scale = same.v_scales;
    uint32_t total = 0;
    int32_t largest = 0;
    TL_UNROLL
    for (int32_t *score = same.scores; score != same.end; score++, v_scale++) {
        const uint32_t distance = (uint32_t)same.highest - (uint32_t)*score; /* exact modulo 2^32 */
        int32_t weight = 0;
        if (distance <= same.octaves.farthest) {
            const uint32_t probability = tl_probability(&same.octaves, distance, 0);
            total += probability;
            weight = tl_slot_weight(probability, *v_scale, same.top - TL_SCALE_EXPONENT_BIAS);
            largest = tl_max(largest, weight);
        }
        *score = weight;
    }
    job->total = total;
    job->largest = largest;
}

TL_HOT struct tl_softmax tl_softmax_weights(int32_t *scores, struct tl_scale scale, const uint16_t *v_scales,
                                            int32_t top, uint32_t slots, int32_t bits) {
    int32_t highest = scores[0];
    TL_UNROLL
    for (uint32_t t = 1; t < slots; t++) highest = tl_max(highest, scores[t]);

    struct tl_weighing job = tl_weighing_of(tl_octaves_of(scale), highest, v_scales, top, scores, slots);
    if (job.octaves.down == 0) {
        weigh_slots(&job);
    } else {
        tl_weigh_slots(&job);
    }
    return tl_softmax_of(job.total, job.largest, top, bits);
}
