/* The sums of eight channels stay in registers while the values of all slots are read, four codes in a word. */
#include <stdbool.h>
#include <stddef.h>

#include "kernels.h"
#include "order.h"

#define COLUMNS 8u

/* Code i of a word. */
static inline int32_t code(uint32_t word, int32_t i) {
    return (int32_t)(word << (24 - 8 * i)) >> 24;
}

#define MULTIPLY_WORD(a, b, c, d)                                                                                      \
    a += w * code(v, 0);                                                                                               \
    AFTER(a, v);                                                                                                       \
    b += w * code(v, 1);                                                                                               \
    AFTER(b, v);                                                                                                       \
    c += w * code(v, 2);                                                                                               \
    AFTER(c, v);                                                                                                       \
    d += w * code(v, 3);

TL_HOT static TL_APART void mix_columns(const int32_t *weight, const int8_t *values, uint32_t n, uint32_t slots,
                                        int32_t down, int32_t *sums) {
    const int32_t half = (1 << down) >> 1;
    int32_t sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0, sum4 = 0, sum5 = 0, sum6 = 0, sum7 = 0;
    for (const int32_t *const end = weight + slots; weight < end; weight++, values += n) {
        const uint32_t *value = (const uint32_t *)(const void *)values;
        const int32_t w = (*weight + half) >> down;
        if (w == 0) continue;
        uint32_t v = value[0];
        MULTIPLY_WORD(sum0, sum1, sum2, sum3)
        AFTER(sum3, value);
        v = value[1];
        MULTIPLY_WORD(sum4, sum5, sum6, sum7)
    }
    sums[0] = sum0;
    sums[1] = sum1;
    sums[2] = sum2;
    sums[3] = sum3;
    sums[4] = sum4;
    sums[5] = sum5;
    sums[6] = sum6;
    sums[7] = sum7;
}

/* The sum of one of the last channels. */
TL_HOT static TL_APART int32_t mix_column(const int32_t *weight, const int8_t *value, uint32_t n, uint32_t slots,
                                          int32_t down) {
    const int32_t half = (1 << down) >> 1;
    int32_t sum = 0;
    for (const int32_t *const end = weight + slots; weight < end; weight++, value += n) {
        sum += ((*weight + half) >> down) * *value;
    }
    return sum;
}

TL_HOT void tl_mix_rows(const struct tl_mix_job *job, int32_t *sums) {
    const uint32_t n = job->head_dim;
    const bool words = (uintptr_t)job->values % 4u == 0 && n % 4u == 0;
    for (uint32_t h = 0; h < job->heads; h++, sums += n) {
        const int32_t *weights = job->weights + (size_t)h * job->stride;
        uint32_t column = 0;
        if (words) {
            for (; column + COLUMNS <= n; column += COLUMNS) {
                mix_columns(weights, job->values + column, n, job->slots, job->down[h], sums + column);
            }
        }
        for (; column < n; column++)
            sums[column] = mix_column(weights, job->values + column, n, job->slots, job->down[h]);
    }
}
