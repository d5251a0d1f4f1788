/* The sums of eight channels stay in registers while the values of all slots are read. */
#include <stdbool.h>
#include <stddef.h>

#include "kernels.h"

#define COLUMNS 8u
#define EACH_COLUMN(of) of(0) of(1) of(2) of(3) of(4) of(5) of(6) of(7)
#define DECLARE(i) int32_t sum##i = 0, other_sum##i = 0;
#define MULTIPLY(i)                                                                                                    \
    {                                                                                                                  \
        const int32_t v = value[i];                                                                                    \
        sum##i += w * v;                                                                                               \
        if (two) other_sum##i += other_w * v;                                                                          \
    }
#define STORE(i)                                                                                                       \
    {                                                                                                                  \
        sums[i] = sum##i;                                                                                              \
        if (two) other[i] = other_sum##i;                                                                              \
    }

TL_HOT static inline void mix_columns(const struct tl_mix_job *job, uint32_t column, int32_t *sums, bool two) {
    const uint32_t n = job->head_dim;
    const int32_t down = job->down[0], half = (1 << down) >> 1;
    const int32_t other_down = two ? job->down[1] : 0, other_half = (1 << other_down) >> 1;
    const int32_t *weight = job->weights, *const end = weight + job->slots, *other_weight = weight + job->stride;
    const int8_t *value = job->values + column;
    EACH_COLUMN(DECLARE)
    for (; weight < end; weight++, other_weight++, value += n) {
        const int32_t w = (*weight + half) >> down, other_w = two ? (*other_weight + other_half) >> other_down : 0;
        if ((w | other_w) == 0) continue;
        EACH_COLUMN(MULTIPLY)
    }
    int32_t *const other = sums + n;
    EACH_COLUMN(STORE)
}

/* The channels after the last whole eight, at most seven. */
TL_HOT static void mix_rest(const struct tl_mix_job *job, uint32_t column, int32_t *sums) {
    const uint32_t n = job->head_dim;
    for (uint32_t h = 0; h < job->heads; h++, sums += n) {
        const int32_t *weights = job->weights + (size_t)h * job->stride;
        const int32_t down = job->down[h], half = (1 << down) >> 1;
        for (uint32_t i = column; i < n; i++) {
            int32_t sum = 0;
            for (uint32_t t = 0; t < job->slots; t++)
                sum += ((weights[t] + half) >> down) * job->values[(size_t)t * n + i];
            sums[i] = sum;
        }
    }
}

TL_HOT static inline void mix_rows(const struct tl_mix_job *job, int32_t *sums, bool two) {
    uint32_t column = 0;
    for (; column + COLUMNS <= job->head_dim; column += COLUMNS) mix_columns(job, column, sums + column, two);
    if (column < job->head_dim) mix_rest(job, column, sums);
}

TL_HOT void tl_mix_rows(const struct tl_mix_job *job, int32_t *sums) {
    if (job->heads == 2) {
        mix_rows(job, sums, true);
    } else {
        mix_rows(job, sums, false);
    }
}
