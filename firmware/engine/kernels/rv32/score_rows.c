/* Eight channels of the queries stay in registers while the keys of all slots are read. */
#include <stdbool.h>
#include <stddef.h>

#include "kernels.h"
#include "scaled_scores.h"

#define COLUMNS 8u
#define EACH_COLUMN(of) of(0) of(1) of(2) of(3) of(4) of(5) of(6) of(7)
#define DECLARE(i) const int32_t q##i = query[i], other##i = other[i];
#define MULTIPLY(i)                                                                                                    \
    {                                                                                                                  \
        const int32_t k = key[i];                                                                                      \
        sum += q##i * k;                                                                                               \
        if (two) other_sum += other##i * k;                                                                            \
    }

/* Adds the dot products of eight channels to the scores; begin: they are the first. */
TL_HOT static inline void add_columns(const struct tl_score_job *job, uint32_t column, uint32_t first, uint32_t last,
                                      bool two, bool begin) {
    const uint32_t n = job->head_dim, stride = two ? job->stride : 0;
    const int8_t *query = job->queries + column, *other = two ? query + n : query;
    EACH_COLUMN(DECLARE)
    const int8_t *key = job->keys + (size_t)first * n + column;
    int32_t *score = job->scores + first, *const end = job->scores + last, *other_score = score + stride;
    for (; score < end; score++, other_score++, key += n) {
        int32_t sum = begin ? 0 : *score, other_sum = begin ? 0 : *other_score;
        EACH_COLUMN(MULTIPLY)
        *score = sum;
        if (two) *other_score = other_sum;
    }
}

/* The channels after the last whole eight, at most seven. */
TL_HOT static void add_rest(const struct tl_score_job *job, uint32_t column, uint32_t first, uint32_t last) {
    const uint32_t n = job->head_dim;
    for (uint32_t h = 0; h < job->heads; h++) {
        const int8_t *query = job->queries + (size_t)h * n;
        int32_t *scores = job->scores + (size_t)h * job->stride;
        for (uint32_t t = first; t < last; t++) {
            const int8_t *key = job->keys + (size_t)t * n;
            int32_t sum = column == 0 ? 0 : scores[t];
            for (uint32_t i = column; i < n; i++) sum += query[i] * key[i];
            scores[t] = sum;
        }
    }
}

TL_HOT static inline void score_rows(const struct tl_score_job *job, uint32_t first, uint32_t last, bool two) {
    const uint32_t n = job->head_dim;
    if (n >= COLUMNS) add_columns(job, 0, first, last, two, true);
    uint32_t column = COLUMNS;
    for (; column + COLUMNS <= n; column += COLUMNS) add_columns(job, column, first, last, two, false);
    if (n % COLUMNS != 0) add_rest(job, n - n % COLUMNS, first, last);
    tl_scale_scores(job, first, last, two);
}

TL_HOT void tl_score_rows(const struct tl_score_job *job, uint32_t first, uint32_t last) {
    if (job->heads == 2) {
        score_rows(job, first, last, true);
    } else {
        score_rows(job, first, last, false);
    }
}
