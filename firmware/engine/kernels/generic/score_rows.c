#include <stddef.h>

#include "kernels.h"

TL_HOT void tl_score_rows(const struct tl_score_job *job, uint32_t first, uint32_t last) {
    const uint32_t n = job->head_dim;
    for (uint32_t h = 0; h < job->heads; h++) {
        const int8_t *query = job->queries + (size_t)h * n;
        int32_t *scores = job->scores + (size_t)h * job->stride;
        for (uint32_t t = first; t < last; t++) {
            const int8_t *key = job->keys + (size_t)t * n;
            const struct tl_scale scale = tl_unpack_scale(job->key_scales[t]);
            int32_t sum = 0;
            for (uint32_t i = 0; i < n; i++) sum += query[i] * key[i];
            scores[t] = ((sum >> job->dot_shift) * scale.mantissa) >> tl_min(job->top - scale.exponent, 31);
        }
    }
}
