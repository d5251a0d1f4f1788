#include "dots.h"

#include <string.h>

#include "intrinsics.h"

#if !defined(TL_NEON)

static void dots_portable(const int8_t *x, const int8_t *rows, size_t stride, uint32_t n, uint32_t count,
                          int32_t *sums) {
    for (uint32_t r = 0; r < count; r++, rows += stride) {
        int32_t sum = 0;
        for (uint32_t i = 0; i < n; i++) sum += x[i] * rows[i];
        sums[r] = sum;
    }
}

#endif

/* The body of dots_*: four rows at a time. If fewer are left, the first of them takes the place of the missing ones. */
#define DOTS(four_dots, width)                                                                                         \
    int8_t end[(width)] = {0};                                                                                         \
    memcpy(end, x + n - n % (width), n % (width));                                                                     \
    uint32_t r = 0;                                                                                                    \
    for (; count - r >= 4; r += 4, rows += 4 * stride) {                                                               \
        store_4(sums + r, four_dots(x, end, n, rows, stride, 2 * stride, 3 * stride));                                 \
    }                                                                                                                  \
    if (r < count) {                                                                                                   \
        int32_t rest[4];                                                                                               \
        const uint32_t left = count - r;                                                                               \
        const size_t r1 = left > 1 ? stride : 0, r2 = left > 2 ? 2 * stride : 0;                                       \
        store_4(rest, four_dots(x, end, n, rows, r1, r2, 0));                                                          \
        memcpy(sums + r, rest, left * sizeof rest[0]);                                                                 \
    }

#if defined(TL_X86)

TL_TARGET_SSE41 TL_INLINE void store_4(int32_t *sums, __m128i four) {
    _mm_storeu_si128((__m128i *)sums, four);
}

/* Adds the products of 16 or 32 codes to four or eight sums. maddubs multiplies unsigned bytes by signed bytes: |x| by
 * w with the sign of x. The sum of two such products is at most 2 * 127 * 127, so its int16 does not saturate. */
TL_TARGET_SSE41 TL_INLINE __m128i add_16(__m128i sum, __m128i x, const int8_t *row) {
    const __m128i w = _mm_sign_epi8(_mm_loadu_si128((const __m128i *)row), x);
    return _mm_add_epi32(sum, _mm_madd_epi16(_mm_maddubs_epi16(_mm_abs_epi8(x), w), _mm_set1_epi16(1)));
}

TL_TARGET_AVX2 TL_INLINE __m256i add_32(__m256i sum, __m256i x, const int8_t *row) {
    const __m256i w = _mm256_sign_epi8(_mm256_loadu_si256((const __m256i *)row), x);
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_abs_epi8(x), w), _mm256_set1_epi16(1)));
}

/* Four rows, at `row` and r1, r2 and r3 bytes after it. end: the last vector of x, filled up with zeros. */
TL_TARGET_SSE41 TL_INLINE __m128i four_dots_16(const int8_t *x, const int8_t *end, uint32_t n, const int8_t *row,
                                               size_t r1, size_t r2, size_t r3) {
    __m128i a = _mm_setzero_si128(), b = a, c = a, d = a;
    for (uint32_t i = 0; i < n; i += 16, row += 16) {
        const __m128i part = _mm_loadu_si128((const __m128i *)(n - i < 16 ? end : x + i));
        a = add_16(a, part, row);
        b = add_16(b, part, row + r1);
        c = add_16(c, part, row + r2);
        d = add_16(d, part, row + r3);
    }
    return _mm_hadd_epi32(_mm_hadd_epi32(a, b), _mm_hadd_epi32(c, d));
}

TL_TARGET_AVX2 TL_INLINE __m128i four_dots_32(const int8_t *x, const int8_t *end, uint32_t n, const int8_t *row,
                                              size_t r1, size_t r2, size_t r3) {
    __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
    for (uint32_t i = 0; i < n; i += 32, row += 32) {
        const __m256i part = _mm256_loadu_si256((const __m256i *)(n - i < 32 ? end : x + i));
        a = add_32(a, part, row);
        b = add_32(b, part, row + r1);
        c = add_32(c, part, row + r2);
        d = add_32(d, part, row + r3);
    }
    a = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    return _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
}

/* Sums of eight rows of 8 or 16 codes, which take two or four vectors. x is repeated to fill a vector. */
TL_TARGET_AVX2 TL_INLINE __m256i eight_dots_of_8(__m256i x, const int8_t *rows) {
    const __m256i zero = _mm256_setzero_si256();
    const __m256i pairs = _mm256_hadd_epi32(add_32(zero, x, rows), add_32(zero, x, rows + 32)); /* 0 1 4 5, 2 3 6 7 */
    return _mm256_permute4x64_epi64(pairs, 0xD8);
}

TL_TARGET_AVX2 TL_INLINE __m256i eight_dots_of_16(__m256i x, const int8_t *rows) {
    const __m256i zero = _mm256_setzero_si256();
    const __m256i a = _mm256_hadd_epi32(add_32(zero, x, rows), add_32(zero, x, rows + 32));
    const __m256i b = _mm256_hadd_epi32(add_32(zero, x, rows + 64), add_32(zero, x, rows + 96));
    return _mm256_permutevar8x32_epi32(_mm256_hadd_epi32(a, b), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/* Eight rows at a time, for heads so small that a vector has several rows. Returns how many rows are done. */
TL_TARGET_AVX2 static uint32_t short_dots_avx2(const int8_t *x, const int8_t *rows, uint32_t n, uint32_t count,
                                               int32_t *sums) {
    int8_t repeated[32];
    for (uint32_t i = 0; i < 32; i += n) memcpy(repeated + i, x, n);
    const __m256i part = _mm256_loadu_si256((const __m256i *)repeated);
    uint32_t r = 0;
    for (; count - r >= 8; r += 8, rows += (size_t)8 * n) {
        const __m256i eight = n == 8 ? eight_dots_of_8(part, rows) : eight_dots_of_16(part, rows);
        _mm256_storeu_si256((__m256i *)(sums + r), eight);
    }
    return r;
}

TL_TARGET_SSE41 TL_INLINE void dots_16(const int8_t *x, const int8_t *rows, size_t stride, uint32_t n, uint32_t count,
                                       int32_t *sums){DOTS(four_dots_16, 16)}

TL_TARGET_SSE41 static void dots_sse41(const int8_t *x, const int8_t *rows, size_t stride, uint32_t n, uint32_t count,
                                       int32_t *sums) {
    dots_16(x, rows, stride, n, count, sums);
}

TL_TARGET_AVX2 static void dots_avx2(const int8_t *x, const int8_t *rows, size_t stride, uint32_t n, uint32_t count,
                                     int32_t *sums) {
    if (stride == n && (n == 8 || n == 16)) {
        const uint32_t done = short_dots_avx2(x, rows, n, count, sums);
        rows += (size_t)done * n;
        sums += done;
        count -= done;
    }
    if (((size_t)n + 31u) / 32u * 32u > stride + 16u) { /* vectors of 32 would read too far */
        dots_16(x, rows, stride, n, count, sums);
        return;
    }
    DOTS(four_dots_32, 32)
}

#elif defined(TL_NEON)

TL_INLINE void store_4(int32_t *sums, int32x4_t four) {
    vst1q_s32(sums, four);
}

/* Adds the products of 16 codes to four sums. The sum of two products is at most 2 * 127 * 127, which fits int16. */
TL_INLINE int32x4_t add_16(int32x4_t sum, int8x16_t x, const int8_t *row) {
    const int8x16_t w = vld1q_s8(row);
#if defined(__ARM_FEATURE_DOTPROD)
    return vdotq_s32(sum, x, w);
#else
    return vpadalq_s16(sum, vmlal_high_s8(vmull_s8(vget_low_s8(x), vget_low_s8(w)), x, w));
#endif
}

/* Four rows, at `row` and r1, r2 and r3 bytes after it. end: the last vector of x, filled up with zeros. */
TL_INLINE int32x4_t four_dots_16(const int8_t *x, const int8_t *end, uint32_t n, const int8_t *row, size_t r1,
                                 size_t r2, size_t r3) {
    int32x4_t a = vdupq_n_s32(0), b = a, c = a, d = a;
    for (uint32_t i = 0; i < n; i += 16, row += 16) {
        const int8x16_t part = vld1q_s8(n - i < 16 ? end : x + i);
        a = add_16(a, part, row);
        b = add_16(b, part, row + r1);
        c = add_16(c, part, row + r2);
        d = add_16(d, part, row + r3);
    }
    return vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d));
}

static void dots_neon(const int8_t *x, const int8_t *rows, size_t stride, uint32_t n, uint32_t count, int32_t *sums) {
    DOTS(four_dots_16, 16)
}

#endif

void tl_dots(const int8_t *x, const int8_t *rows, size_t stride, uint32_t n, uint32_t count, int32_t *sums) {
    TL_AT_LEVEL(dots, (x, rows, stride, n, count, sums));
}
