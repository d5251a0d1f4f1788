#include <stddef.h>

#include "kernels.h"

/* sums (4,) of four channels of the values (slots, n) stay in registers. Their codes are loaded as one word, the first
 * one in its lowest byte. */
static void mix_4(const int32_t *weights, const int8_t *values, uint32_t slots, uint32_t n, int32_t down,
                  int32_t *sums) {
    const int32_t half = (1 << down) >> 1;
    int32_t a = 0, b = 0, c = 0, d = 0;
    for (const int32_t *end = weights + slots; weights < end; weights++, values += n) {
        const int32_t weight = (*weights + half) >> down;
        uint32_t four;
        if (weight == 0) continue;
        __builtin_memcpy(&four, __builtin_assume_aligned(values, 4), sizeof four);
        a += weight * ((int32_t)(four << 24) >> 24);
        b += weight * ((int32_t)(four << 16) >> 24);
        c += weight * ((int32_t)(four << 8) >> 24);
        d += weight * ((int32_t)four >> 24);
    }
    sums[0] = a;
    sums[1] = b;
    sums[2] = c;
    sums[3] = d;
}

/* The sum of one channel, for heads whose size is no multiple of four: their rows are not word-aligned. */
static void mix_1(const int32_t *weights, const int8_t *values, uint32_t slots, uint32_t n, int32_t down,
                  int32_t *sum) {
    const int32_t half = (1 << down) >> 1;
    int32_t a = 0;
    for (uint32_t t = 0; t < slots; t++) a += ((weights[t] + half) >> down) * values[(size_t)t * n];
    *sum = a;
}

void tl_mix_rows(const struct tl_mix_job *job, int32_t *sums) {
    const uint32_t n = job->head_dim, step = n % 4u == 0 ? 4u : 1u;
    for (uint32_t h = 0; h < job->heads; h++, sums += n) {
        const int32_t *weights = job->weights + (size_t)h * job->stride;
        for (uint32_t i = 0; i < n; i += step) {
            (step == 4u ? mix_4 : mix_1)(weights, job->values + i, job->slots, n, job->down[h], sums + i);
        }
    }
}
