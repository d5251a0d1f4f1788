/* Turns the dot products of queries and keys into scores, in place. */
#ifndef TL_SCALED_SCORES_H
#define TL_SCALED_SCORES_H

#include <stdbool.h>

#include "kernels.h"

static inline int32_t tl_scaled(int32_t sum, int32_t dot_shift, int32_t mantissa, int32_t down) {
    return ((sum >> dot_shift) * mantissa) >> down;
}

/* Scales the slots first <= t < last of one head or of two. */
TL_HOT static inline void tl_scale_scores(const struct tl_score_job *job, uint32_t first, uint32_t last, bool two) {
    const int32_t top = job->top, dot_shift = job->dot_shift;
    const uint16_t *packed = job->key_scales + first;
    int32_t *score = job->scores + first, *const end = job->scores + last, *other_score = score + job->stride;
    for (; score < end; score++, other_score++, packed++) {
        const struct tl_scale key_scale = tl_unpack_scale(*packed);
        const int32_t down = tl_min(top - key_scale.exponent, 31);
        *score = tl_scaled(*score, dot_shift, key_scale.mantissa, down);
        if (two) *other_score = tl_scaled(*other_score, dot_shift, key_scale.mantissa, down);
    }
}

#endif
