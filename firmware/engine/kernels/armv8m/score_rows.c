/* Both query heads share the halves of a key. Queries of up to MOST_WORDS words are expanded once. */
#include <stddef.h>

#include "dsp.h"
#include "kernels.h"

#define MOST_WORDS 16u

/* Halves of the four channels of each head's query. */
struct four {
    uint32_t even[TL_HEADS_AT_ONCE], odd[TL_HEADS_AT_ONCE];
};

/* No exponent is larger than top, and there are 32: the shift is below 32. */
static TL_INLINE void score_fast(const struct tl_score_job *job, const struct four *queries, uint32_t heads,
                                 uint32_t words, uint32_t first, uint32_t last) {
    const int8_t *key = job->keys + (size_t)first * job->head_dim;
    const uint16_t *packed = job->key_scales + first;
    const int32_t top = job->top + TL_SCALE_EXPONENT_BIAS;
    int32_t *scores = job->scores + first;
    for (const uint16_t *end = job->key_scales + last; packed < end; packed++, scores++) {
        int32_t sum0 = 0, sum1 = 0;
        for (uint32_t i = 0; i < words; i++, key += 4) {
            const uint32_t four = tl_load_word(key), even = tl_sxtb16(four), odd = tl_sxtb16_ror8(four);
            const struct four *q = queries + i;
            sum0 = i == 0 ? tl_smuad(even, q->even[0]) : tl_smlad(even, q->even[0], sum0);
            sum0 = tl_smlad(odd, q->odd[0], sum0);
            if (heads == 1) continue;
            sum1 = i == 0 ? tl_smuad(even, q->even[1]) : tl_smlad(even, q->even[1], sum1);
            sum1 = tl_smlad(odd, q->odd[1], sum1);
        }
        const int32_t mantissa = *packed & 2047, down = top - (*packed >> 11);
        scores[0] = (sum0 * mantissa) >> down;
        if (heads == 2) scores[job->stride] = (sum1 * mantissa) >> down;
    }
}

static int32_t dot(const int8_t *a, const int8_t *b, uint32_t n) {
    int32_t sum = 0;
    uint32_t i = 0;
    for (; i + 4 <= n; i += 4) {
        const uint32_t x = tl_load_word(a + i), y = tl_load_word(b + i);
        sum = tl_smlad(tl_sxtb16_ror8(x), tl_sxtb16_ror8(y), tl_smlad(tl_sxtb16(x), tl_sxtb16(y), sum));
    }
    for (; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static void score_any(const struct tl_score_job *job, uint32_t first, uint32_t last) {
    const uint32_t n = job->head_dim;
    for (uint32_t t = first; t < last; t++) {
        const struct tl_scale scale = tl_unpack_scale(job->key_scales[t]);
        for (uint32_t h = 0; h < job->heads; h++) {
            const int32_t sum = dot(job->queries + (size_t)h * n, job->keys + (size_t)t * n, n) >> job->dot_shift;
            job->scores[(size_t)h * job->stride + t] = (sum * scale.mantissa) >> (job->top - scale.exponent);
        }
    }
}

void tl_score_rows(const struct tl_score_job *job, uint32_t first, uint32_t last) {
    const uint32_t n = job->head_dim, words = n / 4;
    struct four queries[MOST_WORDS];
    if (n % 4 != 0 || words > MOST_WORDS || job->dot_shift != 0) {
        score_any(job, first, last);
        return;
    }
    for (uint32_t h = 0; h < job->heads; h++) {
        for (uint32_t i = 0; i < words; i++) {
            const uint32_t four = tl_load_word(job->queries + (size_t)h * n + 4 * i);
            queries[i].even[h] = tl_sxtb16(four);
            queries[i].odd[h] = tl_sxtb16_ror8(four);
        }
    }
    if (job->heads == 1) {
        score_fast(job, queries, 1, words, first, last);
    } else if (words == 2) {
        score_fast(job, queries, 2, 2, first, last);
    } else {
        score_fast(job, queries, 2, words, first, last);
    }
}
