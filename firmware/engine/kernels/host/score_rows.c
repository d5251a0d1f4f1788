#include <stddef.h>

#include "dots.h"
#include "kernels.h"
#include "vector_level.h"

/* Turns dots (slots,) into scores in place, by the scales of the keys. */
TL_INLINE void scale(const struct tl_score_job *job, uint32_t first, uint32_t last, int32_t *dots) {
    const int32_t dot_shift = job->dot_shift, top = job->top;
    const uint16_t *key_scales = job->key_scales;
    for (uint32_t t = first; t < last; t++) {
        const struct tl_scale of_key = tl_unpack_scale(key_scales[t]);
        dots[t] = ((dots[t] >> dot_shift) * of_key.mantissa) >> tl_min(top - of_key.exponent, 31);
    }
}

TL_FOR_EACH_LEVEL(scale, (const struct tl_score_job *job, uint32_t first, uint32_t last, int32_t *dots),
                  (job, first, last, dots))

void tl_score_rows(const struct tl_score_job *job, uint32_t first, uint32_t last) {
    const uint32_t n = job->head_dim;
    for (uint32_t h = 0; h < job->heads; h++) {
        int32_t *scores = job->scores + (size_t)h * job->stride;
        tl_dots(job->queries + (size_t)h * n, job->keys + (size_t)first * n, n, n, last - first, scores + first);
        TL_AT_LEVEL(scale, (job, first, last, scores));
    }
}
