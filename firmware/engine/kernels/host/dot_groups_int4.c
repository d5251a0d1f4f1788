/* A vector has four columns of four or eight rows, which are multiplied by the same four numbers of x. Each row's sum
 * stays in its lane: nothing is added across a vector. Codes are stored plus 8; what that adds to the sums is the same
 * for all rows and is subtracted from all of them at once.
 */
#include <stddef.h>
#include <string.h>

#include "intrinsics.h"
#include "kernels.h"

/* Columns of a row that are next to each other in a vector. */
#define QUAD 4u
/* Bytes of a group's codes: of 32 columns, and of the eight columns that share bytes. */
#define PART_BYTES (TL_INT4_GROUP_ROWS / 2u * TL_SCALE_COLUMNS)
#define BYTES (TL_INT4_GROUP_ROWS * QUAD)
#define BIAS 8

/* 32 columns of an input; the last ones are filled up with zeros. */
struct part {
    int8_t x[TL_SCALE_COLUMNS];
    int32_t bias; /* minus what BIAS adds to a row's sum */
};

typedef char tl_assert_part[TL_INT4_INPUT_BYTES(TL_SCALE_COLUMNS) == sizeof(struct part) ? 1 : -1];

static inline uint32_t parts_of(uint32_t columns) {
    return (columns + TL_SCALE_COLUMNS - 1u) / TL_SCALE_COLUMNS;
}

void tl_expand_int4(const int8_t *codes, uint32_t n, uint8_t *input) {
    for (struct part *part = (struct part *)(void *)input; n > 0; part++) {
        const uint32_t size = n < TL_SCALE_COLUMNS ? n : TL_SCALE_COLUMNS;
        int32_t sum = 0;
        memset(part->x, 0, sizeof part->x);
        memcpy(part->x, codes, size);
        for (uint32_t i = 0; i < TL_SCALE_COLUMNS; i++) sum += part->x[i];
        part->bias = -BIAS * sum;
        n -= size;
        codes += size;
    }
}

/* The code of a row and column; `codes` are those of 32 columns. */
static inline int32_t code_of(const uint8_t *codes, uint32_t row, uint32_t column) {
    const uint32_t byte = codes[column / (2u * QUAD) * BYTES + row * QUAD + column % QUAD];
    return (int32_t)(byte >> column / QUAD % 2u * 4u & 15u) - BIAS;
}

#if defined(TL_X86)

/* The next four numbers of x, repeated in all lanes. */
TL_TARGET_AVX2 TL_INLINE __m256i four_256(const int8_t *x) {
    int32_t four;
    memcpy(&four, x, sizeof four);
    return _mm256_set1_epi32(four);
}

TL_TARGET_SSE41 TL_INLINE __m128i four_128(const int8_t *x) {
    int32_t four;
    memcpy(&four, x, sizeof four);
    return _mm_set1_epi32(four);
}

/* maddubs multiplies unsigned bytes, the codes, by signed bytes, x. For a row and 32 columns it gives 16 sums of two
 * products, added up in two 16-bit lanes: 8 * 2 * 15 * 127 < 2^15. madd adds both lanes times the scale. */
TL_TARGET_AVX2 static void dot_groups_avx2(const struct tl_matrix *w, const struct part *parts, uint32_t first,
                                           uint32_t last, int32_t *sums) {
    const uint32_t count = parts_of(w->columns);
    const __m256i low = _mm256_set1_epi8(15);
    for (uint32_t group = first; group < last; group++, sums += TL_INT4_GROUP_ROWS) {
        const uint8_t *codes = w->groups + (size_t)group * w->group_bytes, *scales = codes + (size_t)count * PART_BYTES;
        __m256i sum = _mm256_setzero_si256();
        for (const struct part *part = parts; part < parts + count; part++, scales += TL_INT4_GROUP_ROWS) {
            __m256i lanes = _mm256_setzero_si256();
            for (uint32_t i = 0; i < TL_SCALE_COLUMNS; i += 2u * QUAD, codes += BYTES) {
                const __m256i both = _mm256_loadu_si256((const __m256i *)codes);
                const __m256i these = _mm256_and_si256(both, low);
                const __m256i next = _mm256_and_si256(_mm256_srli_epi16(both, 4), low);
                lanes = _mm256_add_epi16(lanes, _mm256_maddubs_epi16(these, four_256(part->x + i)));
                lanes = _mm256_add_epi16(lanes, _mm256_maddubs_epi16(next, four_256(part->x + i + QUAD)));
            }
            const __m256i scale = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)scales));
            const __m256i twice = _mm256_or_si256(scale, _mm256_slli_epi32(scale, 16));
            const __m256i bias = _mm256_mullo_epi32(scale, _mm256_set1_epi32(part->bias));
            sum = _mm256_add_epi32(sum, _mm256_add_epi32(_mm256_madd_epi16(lanes, twice), bias));
        }
        _mm256_storeu_si256((__m256i *)sums, sum);
    }
}

TL_TARGET_SSE41 static void dot_groups_sse41(const struct tl_matrix *w, const struct part *parts, uint32_t first,
                                             uint32_t last, int32_t *sums) {
    const uint32_t count = parts_of(w->columns);
    const __m128i low = _mm_set1_epi8(15);
    for (uint32_t half = 2 * first; half < 2 * last; half++, sums += TL_INT4_GROUP_ROWS / 2u) {
        const uint8_t *group = w->groups + (size_t)(half / 2u) * w->group_bytes;
        const uint8_t *codes = group + half % 2u * BYTES / 2u;
        const uint8_t *scales = group + (size_t)count * PART_BYTES + half % 2u * TL_INT4_GROUP_ROWS / 2u;
        __m128i sum = _mm_setzero_si128();
        for (const struct part *part = parts; part < parts + count; part++, scales += TL_INT4_GROUP_ROWS) {
            __m128i lanes = _mm_setzero_si128();
            for (uint32_t i = 0; i < TL_SCALE_COLUMNS; i += 2u * QUAD, codes += BYTES) {
                const __m128i both = _mm_loadu_si128((const __m128i *)codes);
                const __m128i these = _mm_and_si128(both, low);
                const __m128i next = _mm_and_si128(_mm_srli_epi16(both, 4), low);
                lanes = _mm_add_epi16(lanes, _mm_maddubs_epi16(these, four_128(part->x + i)));
                lanes = _mm_add_epi16(lanes, _mm_maddubs_epi16(next, four_128(part->x + i + QUAD)));
            }
            int32_t four;
            memcpy(&four, scales, sizeof four);
            const __m128i scale = _mm_cvtepu8_epi32(_mm_cvtsi32_si128(four));
            const __m128i twice = _mm_or_si128(scale, _mm_slli_epi32(scale, 16));
            const __m128i bias = _mm_mullo_epi32(scale, _mm_set1_epi32(part->bias));
            sum = _mm_add_epi32(sum, _mm_add_epi32(_mm_madd_epi16(lanes, twice), bias));
        }
        _mm_storeu_si128((__m128i *)sums, sum);
    }
}

#elif defined(TL_NEON)

/* Sums of 32 columns of four rows, with codes plus 8. A lane of 16 bits holds at most 8 * 15 * 127. */
TL_INLINE int32x4_t dot_32(const uint8_t *codes, const int8_t *x) {
#if defined(__ARM_FEATURE_DOTPROD)
    int32x4_t sum = vdupq_n_s32(0);
#else
    int16x8_t sum = vdupq_n_s16(0), other = sum;
#endif
    for (uint32_t i = 0; i < TL_SCALE_COLUMNS; i += 2u * QUAD, codes += BYTES) {
        const uint8x16_t both = vld1q_u8(codes);
        const int8x16_t these = vreinterpretq_s8_u8(vandq_u8(both, vdupq_n_u8(15)));
        const int8x16_t next = vreinterpretq_s8_u8(vshrq_n_u8(both, 4));
        int32_t fours[2];
        memcpy(fours, x + i, sizeof fours);
        const int8x16_t a = vreinterpretq_s8_s32(vdupq_n_s32(fours[0])),
                        b = vreinterpretq_s8_s32(vdupq_n_s32(fours[1]));
#if defined(__ARM_FEATURE_DOTPROD)
        sum = vdotq_s32(vdotq_s32(sum, these, a), next, b);
#else
        sum = vmlal_s8(vmlal_s8(sum, vget_low_s8(these), vget_low_s8(a)), vget_low_s8(next), vget_low_s8(b));
        other = vmlal_high_s8(vmlal_high_s8(other, these, a), next, b);
#endif
    }
#if defined(__ARM_FEATURE_DOTPROD)
    return sum;
#else
    return vpaddq_s32(vpaddlq_s16(sum), vpaddlq_s16(other));
#endif
}

static void dot_groups_neon(const struct tl_matrix *w, const struct part *parts, uint32_t first, uint32_t last,
                            int32_t *sums) {
    const uint32_t count = parts_of(w->columns);
    for (uint32_t group = first; group < last; group++, sums += TL_INT4_GROUP_ROWS) {
        const uint8_t *codes = w->groups + (size_t)group * w->group_bytes, *scales = codes + (size_t)count * PART_BYTES;
        int32x4_t a = vdupq_n_s32(0), b = a;
        for (const struct part *part = parts; part < parts + count; part++, codes += PART_BYTES) {
            const uint16x8_t eight = vmovl_u8(vld1_u8(scales));
            const int32x4_t bias = vdupq_n_s32(part->bias);
            a = vmlaq_s32(a, vaddq_s32(dot_32(codes, part->x), bias),
                          vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(eight))));
            b = vmlaq_s32(b, vaddq_s32(dot_32(codes + BYTES / 2u, part->x), bias),
                          vreinterpretq_s32_u32(vmovl_high_u16(eight)));
            scales += TL_INT4_GROUP_ROWS;
        }
        vst1q_s32(sums, a);
        vst1q_s32(sums + TL_INT4_GROUP_ROWS / 2u, b);
    }
}

#endif

#if !defined(TL_NEON)

static void dot_groups_portable(const struct tl_matrix *w, const struct part *parts, uint32_t first, uint32_t last,
                                int32_t *sums) {
    const uint32_t count = parts_of(w->columns);
    for (uint32_t group = first; group < last; group++) {
        const uint8_t *codes = w->groups + (size_t)group * w->group_bytes, *scales = codes + (size_t)count * PART_BYTES;
        for (uint32_t row = 0; row < TL_INT4_GROUP_ROWS; row++) {
            int32_t sum = 0;
            for (uint32_t i = 0; i < count; i++) {
                int32_t dot = 0;
                for (uint32_t k = 0; k < TL_SCALE_COLUMNS; k++) {
                    dot += code_of(codes + (size_t)i * PART_BYTES, row, k) * parts[i].x[k];
                }
                sum += dot * scales[i * TL_INT4_GROUP_ROWS + row];
            }
            *sums++ = sum;
        }
    }
}

#endif

void tl_dot_groups_int4(const struct tl_matrix *w, const uint8_t *input, uint32_t first, uint32_t last, int32_t *sums) {
    TL_AT_LEVEL(dot_groups, (w, (const struct part *)(const void *)input, first, last, sums));
}

int32_t tl_code_int4(const struct tl_matrix *w, uint32_t row, uint32_t column) {
    const uint8_t *group = w->groups + (size_t)(row / TL_INT4_GROUP_ROWS) * w->group_bytes;
    const uint32_t part = column / TL_SCALE_COLUMNS, within = row % TL_INT4_GROUP_ROWS;
    const uint8_t *scales = group + (size_t)parts_of(w->columns) * PART_BYTES + (size_t)part * TL_INT4_GROUP_ROWS;
    return code_of(group + (size_t)part * PART_BYTES, within, column % TL_SCALE_COLUMNS) * scales[within];
}
