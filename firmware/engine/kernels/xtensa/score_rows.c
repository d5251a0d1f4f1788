/* Eight channels of a query stay in registers while the keys of all slots are read, four codes in a word. */
#include <stdbool.h>
#include <stddef.h>

#include "kernels.h"
#include "order.h"
#include "scaled_scores.h"

#define COLUMNS 8u
#define BIAS 0x80808080u

#define MULTIPLY_WORD(a, b, c, d)                                                                                      \
    sum += (a) * (int32_t)(k & 255u);                                                                                  \
    AFTER(sum, k);                                                                                                     \
    sum += (b) * (int32_t)(k >> 8 & 255u);                                                                             \
    AFTER(sum, k);                                                                                                     \
    sum += (c) * (int32_t)(k >> 16 & 255u);                                                                            \
    AFTER(sum, k);                                                                                                     \
    sum += (d) * (int32_t)(k >> 24);

/* Adds the dot products of eight channels to the scores of a head; begin: they are the first. Codes + 128 have no sign
 * to extend, and the contribution of the 128 is known. */
TL_HOT static TL_APART void add_columns(const int8_t *query, const int8_t *keys, uint32_t n, uint32_t slots,
                                        int32_t *score, bool begin) {
    const int32_t q0 = query[0], q1 = query[1], q2 = query[2], q3 = query[3];
    const int32_t q4 = query[4], q5 = query[5], q6 = query[6], q7 = query[7];
    const int32_t bias = -128 * (q0 + q1 + q2 + q3 + q4 + q5 + q6 + q7);
    for (int32_t *const end = score + slots; score < end; score++, keys += n) {
        const uint32_t *key = (const uint32_t *)(const void *)keys;
        int32_t sum = begin ? bias : *score + bias;
        uint32_t k = key[0] ^ BIAS;
        MULTIPLY_WORD(q0, q1, q2, q3)
        AFTER(sum, key);
        k = key[1] ^ BIAS;
        MULTIPLY_WORD(q4, q5, q6, q7)
        *score = sum;
    }
}

/* The channels after the last whole eight. */
TL_HOT static TL_APART void add_rest(const int8_t *query, const int8_t *key, uint32_t column, uint32_t n,
                                     uint32_t slots, int32_t *score) {
    for (int32_t *const end = score + slots; score < end; score++, key += n) {
        int32_t sum = column == 0 ? 0 : *score;
        for (uint32_t i = column; i < n; i++) sum += query[i] * key[i];
        *score = sum;
    }
}

TL_HOT void tl_score_rows(const struct tl_score_job *job, uint32_t first, uint32_t last) {
    const uint32_t n = job->head_dim, slots = last - first;
    const int8_t *keys = job->keys + (size_t)first * n;
    const bool words = (uintptr_t)job->keys % 4u == 0 && n % 4u == 0;
    for (uint32_t h = 0; h < job->heads; h++) {
        const int8_t *query = job->queries + (size_t)h * n;
        int32_t *scores = job->scores + (size_t)h * job->stride + first;
        uint32_t column = 0;
        if (words) {
            for (; column + COLUMNS <= n; column += COLUMNS) {
                add_columns(query + column, keys + column, n, slots, scores, column == 0);
            }
        }
        if (column < n) add_rest(query, keys, column, n, slots, scores);
    }
    if (job->heads == 2) {
        tl_scale_scores(job, first, last, true);
    } else {
        tl_scale_scores(job, first, last, false);
    }
}
