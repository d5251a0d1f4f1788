#include "intrinsics.h"
#include "kernels.h"

static uint32_t silu_portable(int32_t *gate, const int32_t *up, uint32_t n, int32_t gate_down, int32_t up_down) {
    uint32_t largest = 0;
    for (uint32_t i = 0; i < n; i++) {
        const int32_t activated = (tl_shift(gate[i], gate_down) * tl_sigmoid_q15(gate[i]) + (1 << 14)) >> 15;
        gate[i] = activated * tl_shift(up[i], up_down);
        const uint32_t magnitude = tl_magnitude(gate[i]);
        largest = magnitude > largest ? magnitude : largest;
    }
    return largest;
}

#if defined(TL_X86)

/* tl_shift of eight numbers. */
TL_TARGET_AVX2 TL_INLINE __m256i shift(__m256i x, int32_t down) {
    const __m128i right = _mm_cvtsi32_si128(tl_max(down, 0)), left = _mm_cvtsi32_si128(tl_max(-down, 0));
    return _mm256_sll_epi32(_mm256_sra_epi32(x, right), left);
}

/* tl_sigmoid_q15 of eight numbers. Each gathered word holds an entry of the table and the next one. */
TL_TARGET_AVX2 TL_INLINE __m256i sigmoid(__m256i x) {
    const __m256i magnitude = _mm256_min_epi32(_mm256_abs_epi32(x), _mm256_set1_epi32((16 << 16) - 1));
    const __m256i index = _mm256_srli_epi32(magnitude, 11), rest = _mm256_and_si256(magnitude, _mm256_set1_epi32(2047));
    const __m256i both = _mm256_i32gather_epi32((const int *)(const void *)tl_sigmoid_table, index, 2);
    const __m256i here = _mm256_and_si256(both, _mm256_set1_epi32(0xFFFF));
    const __m256i step = _mm256_sub_epi32(_mm256_srli_epi32(both, 16), here);
    const __m256i part = _mm256_add_epi32(_mm256_mullo_epi32(step, rest), _mm256_set1_epi32(1024));
    const __m256i positive = _mm256_add_epi32(here, _mm256_srai_epi32(part, 11));
    const __m256i negative = _mm256_sub_epi32(_mm256_set1_epi32(32768), positive);
    return _mm256_blendv_epi8(positive, negative, _mm256_srai_epi32(x, 31));
}

TL_TARGET_AVX2 static uint32_t silu_avx2(int32_t *gate, const int32_t *up, uint32_t n, int32_t gate_down,
                                         int32_t up_down) {
    __m256i largest = _mm256_setzero_si256();
    uint32_t i = 0;
    for (; n - i >= 8; i += 8) {
        const __m256i x = _mm256_loadu_si256((const __m256i *)(gate + i));
        const __m256i product = _mm256_mullo_epi32(shift(x, gate_down), sigmoid(x));
        const __m256i activated = _mm256_srai_epi32(_mm256_add_epi32(product, _mm256_set1_epi32(1 << 14)), 15);
        const __m256i other = shift(_mm256_loadu_si256((const __m256i *)(up + i)), up_down);
        const __m256i result = _mm256_mullo_epi32(activated, other);
        largest = _mm256_max_epi32(largest, _mm256_abs_epi32(result));
        _mm256_storeu_si256((__m256i *)(gate + i), result);
    }
    int32_t largests[8];
    _mm256_storeu_si256((__m256i *)largests, largest);
    int32_t most = (int32_t)silu_portable(gate + i, up + i, n - i, gate_down, up_down);
    for (uint32_t j = 0; j < 8; j++) most = tl_max(most, largests[j]);
    return (uint32_t)most;
}

#endif

uint32_t tl_silu_elements(int32_t *gate, const int32_t *up, uint32_t n, int32_t gate_down, int32_t up_down) {
#if defined(TL_X86)
    if (tl_vector_level == TL_AVX2) return silu_avx2(gate, up, n, gate_down, up_down);
#endif
    return silu_portable(gate, up, n, gate_down, up_down);
}
