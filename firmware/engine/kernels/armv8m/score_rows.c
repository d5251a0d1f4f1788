/* Two query heads share the unpacked halves of a key. Queries of up to MOST_WORDS words are expanded once.
 *
 * No key's exponent is above top, and a packed exponent has 32 values, so a sum is shifted by less than 32.
 */
#include <stddef.h>

#include "dsp.h"
#include "kernels.h"

#define MOST_WORDS 16u

/* Four channels of each head's query, as halves. */
struct four {
    uint32_t even[TL_HEADS_AT_ONCE], odd[TL_HEADS_AT_ONCE];
};

/* Sums of two heads over eight channels. queries: the second four channels; the first four are before it in memory. */
#if defined(TL_DSP)
static TL_INLINE void score_eight(const int8_t **keys, const struct four *queries, int32_t *first, int32_t *second) {
    register int32_t sum0 __asm__("r0");
    register int32_t sum1 __asm__("r1");
    const int8_t *key = *keys;
    uint32_t low, high;
    __asm__ volatile("ldrd %[low], %[high], [%[key]], #8\n"
                     "ldmdb %[queries], {r0, r1, r2, r3}\n"
                     "sxtb16 r4, %[low]\n"
                     "sxtb16 %[low], %[low], ror #8\n"
                     "smuad r0, r4, r0\n"
                     "smuad r1, r4, r1\n"
                     "smlad r0, %[low], r2, r0\n"
                     "smlad r1, %[low], r3, r1\n"
                     "ldmia %[queries], {r2, r3, r4, r5}\n"
                     "sxtb16 %[low], %[high]\n"
                     "sxtb16 %[high], %[high], ror #8\n"
                     "smlad r0, %[low], r2, r0\n"
                     "smlad r1, %[low], r3, r1\n"
                     "smlad r0, %[high], r4, r0\n"
                     "smlad r1, %[high], r5, r1\n"
                     : [key] "+&r"(key), [low] "=&r"(low), [high] "=&r"(high), "=&r"(sum0), "=&r"(sum1)
                     : [queries] "r"(queries)
                     : "r2", "r3", "r4", "r5", "memory");
    *keys = key;
    *first = sum0;
    *second = sum1;
}
#else
static TL_INLINE void score_eight(const int8_t **keys, const struct four *queries, int32_t *first, int32_t *second) {
    *first = *second = 0;
    for (const struct four *q = queries - 1; q <= queries; q++, *keys += 4) {
        const uint32_t four = tl_load_word(*keys), even = tl_sxtb16(four), odd = tl_sxtb16_ror8(four);
        *first = tl_smlad(odd, q->odd[0], tl_smlad(even, q->even[0], *first));
        *second = tl_smlad(odd, q->odd[1], tl_smlad(even, q->even[1], *second));
    }
}
#endif

/* Two heads, whole eights of channels. */
static TL_INLINE void score_two(const struct tl_score_job *job, const struct four *queries, uint32_t channels,
                                uint32_t first, uint32_t last) {
    const int8_t *key = job->keys + (size_t)first * channels;
    const uint16_t *packed = job->key_scales + first, *end = job->key_scales + last;
    const uint32_t stride = job->stride;
    const int32_t top = job->top + TL_SCALE_EXPONENT_BIAS;
    for (int32_t *scores = job->scores + first; packed < end; scores++) {
        const struct four *q = queries + 1;
        int32_t sum0, sum1;
        score_eight(&key, q, &sum0, &sum1);
        for (uint32_t i = 8; i < channels; i += 8) {
            int32_t more0, more1;
            score_eight(&key, q += 2, &more0, &more1);
            sum0 += more0;
            sum1 += more1;
        }
        const int32_t scale = *packed++, mantissa = scale & 2047, down = top - (scale >> 11);
        scores[stride] = (sum1 * mantissa) >> down;
        scores[0] = (sum0 * mantissa) >> down;
    }
}

/* One head, whole fours of channels. */
TL_HOT static void score_one(const struct tl_score_job *job, const struct four *queries, uint32_t h, uint32_t first,
                             uint32_t last) {
    const uint32_t words = job->head_dim / 4;
    const int8_t *key = job->keys + (size_t)first * job->head_dim;
    const int32_t top = job->top + TL_SCALE_EXPONENT_BIAS;
    int32_t *scores = job->scores + (size_t)h * job->stride;
    for (uint32_t t = first; t < last; t++) {
        int32_t sum = 0;
        for (uint32_t i = 0; i < words; i++, key += 4) {
            const uint32_t four = tl_load_word(key);
            sum = tl_smlad(tl_sxtb16(four), queries[i].even[h], sum);
            sum = tl_smlad(tl_sxtb16_ror8(four), queries[i].odd[h], sum);
        }
        scores[t] = (sum * (job->key_scales[t] & 2047)) >> (top - (job->key_scales[t] >> 11));
    }
}

TL_HOT static int32_t dot(const int8_t *a, const int8_t *b, uint32_t n) {
    int32_t sum = 0;
    uint32_t i = 0;
    for (; i + 4 <= n; i += 4) {
        const uint32_t x = tl_load_word(a + i), y = tl_load_word(b + i);
        sum = tl_smlad(tl_sxtb16_ror8(x), tl_sxtb16_ror8(y), tl_smlad(tl_sxtb16(x), tl_sxtb16(y), sum));
    }
    for (; i < n; i++) sum += a[i] * b[i];
    return sum;
}

TL_HOT static void score_any(const struct tl_score_job *job, uint32_t first, uint32_t last) {
    const uint32_t n = job->head_dim;
    for (uint32_t t = first; t < last; t++) {
        const struct tl_scale scale = tl_unpack_scale(job->key_scales[t]);
        for (uint32_t h = 0; h < job->heads; h++) {
            const int32_t sum = dot(job->queries + (size_t)h * n, job->keys + (size_t)t * n, n) >> job->dot_shift;
            job->scores[(size_t)h * job->stride + t] = (sum * scale.mantissa) >> (job->top - scale.exponent);
        }
    }
}

TL_HOT void tl_score_rows(const struct tl_score_job *job, uint32_t first, uint32_t last) {
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
    if (job->heads == 2 && words == 2) {
        score_two(job, queries, 8, first, last);
    } else if (job->heads == 2 && words % 2 == 0) {
        score_two(job, queries, n, first, last);
    } else {
        for (uint32_t h = 0; h < job->heads; h++) score_one(job, queries, h, first, last);
    }
}
