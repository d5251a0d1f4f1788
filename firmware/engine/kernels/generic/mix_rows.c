#include <stddef.h>

#include "kernels.h"

TL_HOT void tl_mix_rows(const struct tl_mix_job *job, int32_t *sums) {
    const uint32_t n = job->head_dim;
    for (uint32_t h = 0; h < job->heads; h++, sums += n) {
        const int32_t *weights = job->weights + (size_t)h * job->stride;
        const int32_t down = job->down[h], half = (1 << down) >> 1;
        for (uint32_t i = 0; i < n; i++) sums[i] = 0;
        for (uint32_t t = 0; t < job->slots; t++) {
            const int8_t *value = job->values + (size_t)t * n;
            const int32_t weight = (weights[t] + half) >> down;
            if (weight == 0) continue;
            for (uint32_t i = 0; i < n; i++) sums[i] += weight * value[i];
        }
    }
}
