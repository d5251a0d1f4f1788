#include <stddef.h>
#include <string.h>

#include "intrinsics.h"
#include "kernels.h"

#if !defined(TL_NEON)

static void mix_portable(const struct tl_mix_job *job, uint32_t h, int32_t *sums) {
    const uint32_t n = job->head_dim;
    const int32_t *weights = job->weights + (size_t)h * job->stride;
    const int32_t down = job->down[h], half = (1 << down) >> 1;
    for (uint32_t i = 0; i < n; i++) sums[i] = 0;
    for (uint32_t t = 0; t < job->slots; t++) {
        const int8_t *value = job->values + (size_t)t * n;
        const int32_t weight = (weights[t] + half) >> down;
        for (uint32_t i = 0; i < n; i++) sums[i] += weight * value[i];
    }
}

#endif

#if defined(TL_X86)

/* The weights of eight slots as int16; past the last slot they are 0. */
TL_TARGET_SSE41 TL_INLINE __m128i eight_weights(const int32_t *weights, uint32_t left, int32_t down) {
    int32_t rest[8] = {0};
    if (left < 8) {
        memcpy(rest, weights, left * sizeof rest[0]);
        weights = rest;
    }
    const __m128i half = _mm_set1_epi32((1 << down) >> 1), count = _mm_cvtsi32_si128(down);
    const __m128i low = _mm_loadu_si128((const __m128i *)weights);
    const __m128i high = _mm_loadu_si128((const __m128i *)(weights + 4));
    return _mm_packs_epi32(_mm_sra_epi32(_mm_add_epi32(low, half), count),
                           _mm_sra_epi32(_mm_add_epi32(high, half), count));
}

/* The codes of eight channels of slots t and t + 1, interleaved: (8, 2) int8. */
TL_TARGET_SSE41 TL_INLINE __m128i two_values(const int8_t *values, uint32_t n, uint32_t t, uint32_t slots) {
    const int8_t *value = values + (size_t)t * n, *next = t + 1 < slots ? value + n : value;
    return _mm_unpacklo_epi8(_mm_loadl_epi64((const __m128i *)value), _mm_loadl_epi64((const __m128i *)next));
}

TL_TARGET_AVX2 static void mix_avx2(const struct tl_mix_job *job, uint32_t h, int32_t *sums) {
    const int32_t *weights = job->weights + (size_t)h * job->stride;
    const uint32_t n = job->head_dim, slots = job->slots;
    for (uint32_t i = 0; i < n; i += 8) {
        __m256i sum = _mm256_setzero_si256();
        for (uint32_t t = 0; t < slots; t += 8) {
            __m256i pairs = _mm256_broadcastsi128_si256(eight_weights(weights + t, slots - t, job->down[h]));
            for (uint32_t u = t; u < t + 8 && u < slots; u += 2) {
                const __m256i pair = _mm256_shuffle_epi32(pairs, 0);
                pairs = _mm256_bsrli_epi128(pairs, 4);
                const __m256i codes = _mm256_cvtepi8_epi16(two_values(job->values + i, n, u, slots));
                sum = _mm256_add_epi32(sum, _mm256_madd_epi16(codes, pair));
            }
        }
        int32_t eight[8];
        _mm256_storeu_si256((__m256i *)eight, sum);
        memcpy(sums + i, eight, (n - i < 8 ? n - i : 8) * sizeof eight[0]);
    }
}

TL_TARGET_SSE41 static void mix_sse41(const struct tl_mix_job *job, uint32_t h, int32_t *sums) {
    const int32_t *weights = job->weights + (size_t)h * job->stride;
    const uint32_t n = job->head_dim, slots = job->slots;
    for (uint32_t i = 0; i < n; i += 8) {
        __m128i low = _mm_setzero_si128(), high = low;
        for (uint32_t t = 0; t < slots; t += 8) {
            __m128i pairs = eight_weights(weights + t, slots - t, job->down[h]);
            for (uint32_t u = t; u < t + 8 && u < slots; u += 2) {
                const __m128i pair = _mm_shuffle_epi32(pairs, 0);
                pairs = _mm_bsrli_si128(pairs, 4);
                const __m128i codes = two_values(job->values + i, n, u, slots);
                low = _mm_add_epi32(low, _mm_madd_epi16(_mm_cvtepi8_epi16(codes), pair));
                high = _mm_add_epi32(high, _mm_madd_epi16(_mm_cvtepi8_epi16(_mm_bsrli_si128(codes, 8)), pair));
            }
        }
        int32_t eight[8];
        _mm_storeu_si128((__m128i *)eight, low);
        _mm_storeu_si128((__m128i *)(eight + 4), high);
        memcpy(sums + i, eight, (n - i < 8 ? n - i : 8) * sizeof eight[0]);
    }
}

#elif defined(TL_NEON)

/* Sums of the channels i to i + 7, or to i + 15 if `wide`. */
TL_INLINE void mix_channels(const struct tl_mix_job *job, uint32_t h, uint32_t i, bool wide, int32_t *sums) {
    const int32_t *weights = job->weights + (size_t)h * job->stride;
    const int8_t *values = job->values + i;
    const int32_t down = job->down[h], half = (1 << down) >> 1;
    int32x4_t a = vdupq_n_s32(0), b = a, c = a, d = a;
    for (uint32_t t = 0; t < job->slots; t++, values += job->head_dim) {
        const int16_t weight = (int16_t)((weights[t] + half) >> down);
        const int16x8_t codes = vmovl_s8(vld1_s8(values));
        a = vmlal_n_s16(a, vget_low_s16(codes), weight);
        b = vmlal_high_n_s16(b, codes, weight);
        if (!wide) continue;
        const int16x8_t more = vmovl_s8(vld1_s8(values + 8));
        c = vmlal_n_s16(c, vget_low_s16(more), weight);
        d = vmlal_high_n_s16(d, more, weight);
    }
    int32_t all[16];
    vst1q_s32(all, a);
    vst1q_s32(all + 4, b);
    vst1q_s32(all + 8, c);
    vst1q_s32(all + 12, d);
    const uint32_t left = job->head_dim - i;
    memcpy(sums + i, all, (left < 16 ? left : 16) * sizeof all[0]);
}

static void mix_neon(const struct tl_mix_job *job, uint32_t h, int32_t *sums) {
    for (uint32_t i = 0; i < job->head_dim; i += 16) mix_channels(job, h, i, job->head_dim - i > 8, sums);
}

#endif

void tl_mix_rows(const struct tl_mix_job *job, int32_t *sums) {
    for (uint32_t h = 0; h < job->heads; h++) TL_AT_LEVEL(mix, (job, h, sums + (size_t)h * job->head_dim));
}
