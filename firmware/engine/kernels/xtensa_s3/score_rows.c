#include <stddef.h>
#include <string.h>

#include "dot_rows.h"
#include "instructions.h"
#include "kernels.h"
#include "vector_unit.h"

/* Turns the dot products of a head into its scores, in place. */
static inline void scale(const struct tl_score_job *job, int32_t *scores, uint32_t first, uint32_t last) {
    for (uint32_t t = first; t < last; t++) {
        const struct tl_scale scale = tl_unpack_scale(job->key_scales[t]);
        scores[t] = ((scores[t] >> job->dot_shift) * scale.mantissa) >> (job->top - scale.exponent);
    }
}

static void portable(const struct tl_score_job *job, uint32_t first, uint32_t last) {
    const uint32_t n = job->head_dim;
    for (uint32_t h = 0; h < job->heads; h++) {
        int32_t *scores = job->scores + (size_t)h * job->stride;
        const int8_t *query = job->queries + (size_t)h * n;
        tl_portable_dot_rows(job->keys + (size_t)first * n, last - first, query, n, scores + first);
        scale(job, scores, first, last);
    }
}

#if defined(__XTENSA__)

#define VECTOR 16u
#define LONGEST_HEAD 128u

/* Register 0, which holds one key or two, times register x. */
#define DOT(sum, x)                                                                                                    \
    PIE_ZERO_ACCX();                                                                                                   \
    PIE_MULTIPLY(0, x);                                                                                                \
    PIE_READ_ACCX(sum, shift)

/* The scores of one slot: of the first head with the query in register x, of the second with register y. */
#define SLOT(x, y)                                                                                                     \
    {                                                                                                                  \
        const int32_t packed = *scale++, mantissa = packed & 2047, down = top - (packed >> 11);                        \
        int32_t sum;                                                                                                   \
        DOT(sum, x);                                                                                                   \
        *score++ = (sum * mantissa) >> down;                                                                           \
        if (heads == 2) {                                                                                              \
            DOT(sum, y);                                                                                               \
            *other++ = (sum * mantissa) >> down;                                                                       \
        }                                                                                                              \
    }

/* Heads of 8 or 16 channels: a vector holds two keys or one. For heads of 8, register 2 has the first head's query in
 * its lower half and register 3 in its upper half, with zeros in the other half; registers 4 and 5 have the second
 * head's. For heads of 16, registers 2 and 4 have the queries. */
static inline __attribute__((always_inline)) void short_heads(const struct tl_score_job *job, uint32_t first,
                                                              uint32_t last, uint32_t heads, uint32_t n) {
    const int8_t *key = job->keys + (size_t)first * n;
    const uint16_t *scale = job->key_scales + first, *const end = job->key_scales + last;
    int32_t *score = job->scores + first, *other = score + job->stride;
    const int32_t top = job->top + TL_SCALE_EXPONENT_BIAS;
    const uint32_t shift = (uint32_t)job->dot_shift;
    int8_t queries[4][VECTOR] __attribute__((aligned(16))) = {{0}};
    const int8_t *query = queries[0];
    for (uint32_t h = 0; h < heads; h++) {
        memcpy(queries[2 * h], job->queries + (size_t)h * n, n);
        if (n == 8) memcpy(queries[2 * h + 1] + n, job->queries + (size_t)h * n, n);
    }
    PIE_LOAD(2, query);
    PIE_LOAD(3, query);
    PIE_LOAD(4, query);
    PIE_LOAD(5, query);
    if (n == 8 && ((uintptr_t)key & n) != 0) {
        PIE_LOAD(0, key);
        SLOT(3, 5)
    }
    while (end - scale > 1) {
        PIE_LOAD(0, key);
        SLOT(2, 4)
        if (n == 8) {
            SLOT(3, 5)
        } else {
            PIE_LOAD(0, key);
            SLOT(2, 4)
        }
    }
    if (scale < end) {
        PIE_LOAD(0, key);
        SLOT(2, 4)
    }
}

/* Longer heads, of whole vectors: the keys are the rows of a matrix. */
static void long_heads(const struct tl_score_job *job, uint32_t first, uint32_t last) {
    const uint32_t n = job->head_dim;
    int8_t query[LONGEST_HEAD] __attribute__((aligned(16)));
    for (uint32_t h = 0; h < job->heads; h++) {
        int32_t *scores = job->scores + (size_t)h * job->stride;
        memcpy(query, job->queries + (size_t)h * n, n);
        tl_dot_rows(job->keys + (size_t)first * n, last - first, query, n, scores + first);
        scale(job, scores, first, last);
    }
}

void tl_score_rows(const struct tl_score_job *job, uint32_t first, uint32_t last) {
    const uint32_t n = job->head_dim;
    if (first == last) return;
    if (!tl_vector_unit) {
        portable(job, first, last);
    } else if (n == 8 && job->heads == 2) {
        short_heads(job, first, last, 2, 8);
    } else if (n == 8) {
        short_heads(job, first, last, 1, 8);
    } else if (n == 16 && job->heads == 2) {
        short_heads(job, first, last, 2, 16);
    } else if (n == 16) {
        short_heads(job, first, last, 1, 16);
    } else if (n % VECTOR == 0 && n <= LONGEST_HEAD) {
        long_heads(job, first, last);
    } else {
        portable(job, first, last);
    }
}

#else

void tl_score_rows(const struct tl_score_job *job, uint32_t first, uint32_t last) {
    portable(job, first, last);
}

#endif
