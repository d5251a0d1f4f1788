#include <stddef.h>
#include <string.h>

#include "intrinsics.h"
#include "kernels.h"
#include "row_pairs_int4.h"

#if defined(TL_X86)

/* maddubs multiplies unsigned bytes, the codes + 8, by signed ones, x. Two such products are at most 2 * 15 * 127, which
 * fits int16; the next step multiplies them by the scale and adds two of them. What the 8 adds to the sums is taken off the
 * sums of all eight rows at once. */

/* Codes + 8 of two rows, from bytes whose upper halves are in two's complement. */
#define SPLIT(width, bits)                                                                                             \
    const __m##bits##i both = width##_xor_si##bits(bytes, width##_set1_epi8(-128)), low = width##_set1_epi8(15);       \
    const __m##bits##i even = width##_and_si##bits(both, low);                                                         \
    const __m##bits##i odd = width##_and_si##bits(width##_srli_epi16(both, 4), low);

/* Adds the products of rows 2i and 2i + 1 with 32 or 16 numbers. scales: of eight rows, 16 bits each */
TL_TARGET_AVX2 TL_INLINE void add_pair_32(__m256i *sums, uint32_t i, const uint8_t *codes, __m256i x, __m256i scales) {
    const __m256i bytes = _mm256_loadu_si256((const __m256i *)codes);
    SPLIT(_mm256, 256)
    const __m256i even_scale = _mm256_shuffle_epi8(scales, _mm256_set1_epi16((short)(0x0100 + 0x0404 * i)));
    const __m256i odd_scale = _mm256_shuffle_epi8(scales, _mm256_set1_epi16((short)(0x0302 + 0x0404 * i)));
    sums[2 * i] = _mm256_add_epi32(sums[2 * i], _mm256_madd_epi16(_mm256_maddubs_epi16(even, x), even_scale));
    sums[2 * i + 1] = _mm256_add_epi32(sums[2 * i + 1], _mm256_madd_epi16(_mm256_maddubs_epi16(odd, x), odd_scale));
}

TL_TARGET_SSE41 TL_INLINE void add_pair_16(__m128i *sums, uint32_t i, const uint8_t *codes, __m128i x, __m128i scales) {
    const __m128i bytes = _mm_loadu_si128((const __m128i *)codes);
    SPLIT(_mm, 128)
    const __m128i even_scale = _mm_shuffle_epi8(scales, _mm_set1_epi16((short)(0x0100 + 0x0404 * i)));
    const __m128i odd_scale = _mm_shuffle_epi8(scales, _mm_set1_epi16((short)(0x0302 + 0x0404 * i)));
    sums[2 * i] = _mm_add_epi32(sums[2 * i], _mm_madd_epi16(_mm_maddubs_epi16(even, x), even_scale));
    sums[2 * i + 1] = _mm_add_epi32(sums[2 * i + 1], _mm_madd_epi16(_mm_maddubs_epi16(odd, x), odd_scale));
}

TL_TARGET_AVX2 TL_INLINE __m256i group_avx2(const uint8_t *codes, const uint8_t *scales, uint32_t count,
                                            const struct tl_int4_input *part) {
    __m256i sums[8], bias = _mm256_setzero_si256();
    for (uint32_t i = 0; i < 8; i++) sums[i] = bias;
    for (; count > 0; count--, part++, codes += TL_INT4_PART, scales += TL_INT4_GROUP_ROWS) {
        const __m256i x = _mm256_loadu_si256((const __m256i *)part->x);
        const __m128i eight = _mm_loadl_epi64((const __m128i *)scales);
        const __m256i words = _mm256_broadcastsi128_si256(_mm_cvtepu8_epi16(eight));
        add_pair_32(sums, 0, codes, x, words);
        add_pair_32(sums, 1, codes + 32, x, words);
        add_pair_32(sums, 2, codes + 64, x, words);
        add_pair_32(sums, 3, codes + 96, x, words);
        const __m256i less = _mm256_mullo_epi32(_mm256_cvtepu8_epi32(eight), _mm256_set1_epi32(part->bias[0]));
        bias = _mm256_add_epi32(bias, less);
    }
    const __m256i first = _mm256_hadd_epi32(_mm256_hadd_epi32(sums[0], sums[1]), _mm256_hadd_epi32(sums[2], sums[3]));
    const __m256i rest = _mm256_hadd_epi32(_mm256_hadd_epi32(sums[4], sums[5]), _mm256_hadd_epi32(sums[6], sums[7]));
    const __m256i halves =
        _mm256_add_epi32(_mm256_permute2x128_si256(first, rest, 0x20), _mm256_permute2x128_si256(first, rest, 0x31));
    return _mm256_add_epi32(halves, bias);
}

/* Four rows, whose codes lie in every second 64 bytes. */
TL_TARGET_SSE41 TL_INLINE __m128i half_group_sse41(const uint8_t *codes, const uint8_t *scales, uint32_t count,
                                                   const struct tl_int4_input *part) {
    __m128i sums[4], bias = _mm_setzero_si128();
    for (uint32_t i = 0; i < 4; i++) sums[i] = bias;
    for (; count > 0; count--, part++, codes += TL_INT4_PART, scales += TL_INT4_GROUP_ROWS) {
        const __m128i x = _mm_loadu_si128((const __m128i *)part->x);
        const __m128i y = _mm_loadu_si128((const __m128i *)(part->x + 16));
        int32_t four;
        memcpy(&four, scales, sizeof four);
        const __m128i bytes = _mm_cvtsi32_si128(four), words = _mm_cvtepu8_epi16(bytes);
        add_pair_16(sums, 0, codes, x, words);
        add_pair_16(sums, 0, codes + 16, y, words);
        add_pair_16(sums, 1, codes + 32, x, words);
        add_pair_16(sums, 1, codes + 48, y, words);
        bias = _mm_add_epi32(bias, _mm_mullo_epi32(_mm_cvtepu8_epi32(bytes), _mm_set1_epi32(part->bias[0])));
    }
    return _mm_add_epi32(_mm_hadd_epi32(_mm_hadd_epi32(sums[0], sums[1]), _mm_hadd_epi32(sums[2], sums[3])), bias);
}

TL_TARGET_AVX2 static void dot_groups_avx2(const struct tl_matrix *w, const struct tl_int4_input *input, uint32_t first,
                                           uint32_t last, int32_t *sums) {
    const uint32_t count = tl_scales_of_row(w->columns);
    for (uint32_t i = first; i < last; i++, sums += TL_INT4_GROUP_ROWS) {
        const uint8_t *group = w->groups + (size_t)i * w->group_bytes, *scales = group + (size_t)count * TL_INT4_PART;
        _mm256_storeu_si256((__m256i *)sums, group_avx2(group, scales, count, input));
    }
}

TL_TARGET_SSE41 static void dot_groups_sse41(const struct tl_matrix *w, const struct tl_int4_input *input,
                                             uint32_t first, uint32_t last, int32_t *sums) {
    const uint32_t count = tl_scales_of_row(w->columns);
    for (uint32_t i = first; i < last; i++, sums += TL_INT4_GROUP_ROWS) {
        const uint8_t *group = w->groups + (size_t)i * w->group_bytes, *scales = group + (size_t)count * TL_INT4_PART;
        _mm_storeu_si128((__m128i *)sums, half_group_sse41(group, scales, count, input));
        _mm_storeu_si128((__m128i *)(sums + 4), half_group_sse41(group + 64, scales + 4, count, input));
    }
}

#elif defined(TL_NEON)

/* The sum of 32 products in four parts, of which each is at most 4 * 2 * 8 * 127. */
TL_INLINE int32x4_t dot_32(int8x16_t x, int8x16_t y, int8x16_t v, int8x16_t w) {
#if defined(__ARM_FEATURE_DOTPROD)
    return vdotq_s32(vdotq_s32(vdupq_n_s32(0), x, v), y, w);
#else
    int16x8_t sum = vmlal_high_s8(vmull_s8(vget_low_s8(x), vget_low_s8(v)), x, v);
    sum = vmlal_high_s8(vmlal_s8(sum, vget_low_s8(y), vget_low_s8(w)), y, w);
    return vpaddlq_s16(sum);
#endif
}

/* The code of a byte's lower half, which is that + 8. */
TL_INLINE int8x16_t lower(uint8x16_t bytes) {
    return vsubq_s8(vreinterpretq_s8_u8(vandq_u8(bytes, vdupq_n_u8(15))), vdupq_n_s8(8));
}

TL_INLINE int8x16_t upper(uint8x16_t bytes) {
    return vshrq_n_s8(vreinterpretq_s8_u8(bytes), 4);
}

TL_INLINE void add_pair(int32x4_t *sums, const uint8_t *codes, int8x16_t x, int8x16_t y, const uint8_t *scales) {
    const uint8x16_t v = vld1q_u8(codes), w = vld1q_u8(codes + 16);
    sums[0] = vmlaq_n_s32(sums[0], dot_32(x, y, lower(v), lower(w)), scales[0]);
    sums[1] = vmlaq_n_s32(sums[1], dot_32(x, y, upper(v), upper(w)), scales[1]);
}

static void dot_groups_neon(const struct tl_matrix *w, const struct tl_int4_input *input, uint32_t first, uint32_t last,
                            int32_t *sums) {
    const uint32_t count = tl_scales_of_row(w->columns);
    for (uint32_t group = first; group < last; group++, sums += TL_INT4_GROUP_ROWS) {
        const uint8_t *codes = w->groups + (size_t)group * w->group_bytes;
        const uint8_t *scales = codes + (size_t)count * TL_INT4_PART;
        int32x4_t s[8];
        for (uint32_t i = 0; i < 8; i++) s[i] = vdupq_n_s32(0);
        for (uint32_t i = 0; i < count; i++, codes += TL_INT4_PART, scales += TL_INT4_GROUP_ROWS) {
            const int8x16_t x = vld1q_s8(input[i].x), y = vld1q_s8(input[i].x + 16);
            add_pair(s, codes, x, y, scales);
            add_pair(s + 2, codes + 32, x, y, scales + 2);
            add_pair(s + 4, codes + 64, x, y, scales + 4);
            add_pair(s + 6, codes + 96, x, y, scales + 6);
        }
        vst1q_s32(sums, vpaddq_s32(vpaddq_s32(s[0], s[1]), vpaddq_s32(s[2], s[3])));
        vst1q_s32(sums + 4, vpaddq_s32(vpaddq_s32(s[4], s[5]), vpaddq_s32(s[6], s[7])));
    }
}

#endif

#if !defined(TL_NEON)

static void dot_groups_portable(const struct tl_matrix *w, const struct tl_int4_input *input, uint32_t first,
                                uint32_t last, int32_t *sums) {
    tl_portable_dot_groups_int4(w, (const uint8_t *)input, first, last, sums);
}

#endif

void tl_dot_groups_int4(const struct tl_matrix *w, const uint8_t *input, uint32_t first, uint32_t last, int32_t *sums) {
    TL_AT_LEVEL(dot_groups, (w, (const struct tl_int4_input *)(const void *)input, first, last, sums));
}
