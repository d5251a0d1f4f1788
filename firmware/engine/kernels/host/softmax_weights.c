#include "softmax.h"

#include "intrinsics.h"

TL_INLINE void highest_of(const int32_t *scores, uint32_t slots, int32_t *highest) {
    int32_t most = scores[0];
    for (uint32_t t = 1; t < slots; t++) most = tl_max(most, scores[t]);
    *highest = most;
}

TL_FOR_EACH_LEVEL(highest_of, (const int32_t *scores, uint32_t slots, int32_t *highest), (scores, slots, highest))

/* Results of the slots weighed so far: the total of the probabilities, and the largest weight. */
struct sums {
    uint32_t total;
    int32_t largest;
};

/* Weighs the slots first <= t < slots. */
static void weigh_portable(int32_t *scores, const uint16_t *v_scales, uint32_t first, uint32_t slots, int32_t highest,
                           const struct tl_octaves *how, int32_t top, struct sums *sums) {
    for (uint32_t t = first; t < slots; t++) {
        const uint32_t distance = (uint32_t)highest - (uint32_t)scores[t]; /* exact modulo 2^32 */
        scores[t] = 0;
        if (distance > how->farthest) continue;
        const uint32_t probability = tl_probability(how, distance, how->down);
        scores[t] = tl_slot_weight(probability, v_scales[t], top);
        sums->total += probability;
        sums->largest = tl_max(sums->largest, scores[t]);
    }
}

#if defined(TL_X86)

/* The entries of the softmax table at eight indices. Each gathered word holds two entries. */
TL_TARGET_AVX2 TL_INLINE __m256i softmax_entries(__m256i index) {
    const __m256i pair = _mm256_srli_epi32(index, 1), odd = _mm256_and_si256(index, _mm256_set1_epi32(1));
    const __m256i words = _mm256_i32gather_epi32((const int *)(const void *)tl_softmax_table, pair, 4);
    return _mm256_and_si256(_mm256_srlv_epi32(words, _mm256_slli_epi32(odd, 4)), _mm256_set1_epi32(0xFFFF));
}

/* Weighs eight slots at a time. Returns how many slots are done. */
TL_TARGET_AVX2 static uint32_t weigh_avx2(int32_t *scores, const uint16_t *v_scales, uint32_t slots, int32_t highest,
                                          const struct tl_octaves *how, int32_t top, struct sums *sums) {
    const __m256i nearest = _mm256_set1_epi32(highest), farthest = _mm256_set1_epi32((int32_t)how->farthest);
    const __m256i mantissa = _mm256_set1_epi32((int32_t)how->mantissa), one = _mm256_set1_epi32(1);
    const __m256i half = _mm256_set1_epi32(1 << (16 + how->down));
    const __m256i biased_top = _mm256_set1_epi32(top + TL_SCALE_EXPONENT_BIAS);
    const __m128i cut = _mm_cvtsi32_si128(how->cut), down = _mm_cvtsi32_si128(how->down);
    __m256i total = _mm256_setzero_si256(), largest = total;
    uint32_t t = 0;
    for (; slots - t >= 8; t += 8) {
        const __m256i distance = _mm256_sub_epi32(nearest, _mm256_loadu_si256((const __m256i *)(scores + t)));
        const __m256i near = _mm256_cmpeq_epi32(_mm256_min_epu32(distance, farthest), distance);
        const __m256i product = _mm256_mullo_epi32(_mm256_srl_epi32(distance, cut), mantissa);
        const __m256i octaves = _mm256_srl_epi32(_mm256_add_epi32(product, half), down);
        const __m256i entries =
            softmax_entries(_mm256_and_si256(_mm256_srli_epi32(octaves, 17), _mm256_set1_epi32(511)));
        const __m256i twice = _mm256_srlv_epi32(entries, _mm256_srli_epi32(octaves, TL_OCTAVE_BITS));
        const __m256i probability = _mm256_and_si256(near, _mm256_srli_epi32(_mm256_add_epi32(twice, one), 1));
        const __m256i packed = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(v_scales + t)));
        const __m256i scaled = _mm256_mullo_epi32(probability, _mm256_and_si256(packed, _mm256_set1_epi32(2047)));
        const __m256i weight = _mm256_srlv_epi32(scaled, _mm256_sub_epi32(biased_top, _mm256_srli_epi32(packed, 11)));
        total = _mm256_add_epi32(total, probability);
        largest = _mm256_max_epi32(largest, weight);
        _mm256_storeu_si256((__m256i *)(scores + t), weight);
    }
    uint32_t totals[8];
    int32_t largests[8];
    _mm256_storeu_si256((__m256i *)totals, total);
    _mm256_storeu_si256((__m256i *)largests, largest);
    for (uint32_t i = 0; i < 8; i++) {
        sums->total += totals[i];
        sums->largest = tl_max(sums->largest, largests[i]);
    }
    return t;
}

#endif

struct tl_softmax tl_softmax_weights(int32_t *scores, struct tl_scale scale, const uint16_t *v_scales, int32_t top,
                                     uint32_t slots, int32_t bits) {
    int32_t highest;
    TL_AT_LEVEL(highest_of, (scores, slots, &highest));
    const struct tl_octaves how = tl_octaves_of(scale);
    struct sums sums = {0, 0};
    uint32_t t = 0;
#if defined(TL_X86)
    if (tl_vector_level == TL_AVX2) t = weigh_avx2(scores, v_scales, slots, highest, &how, top, &sums);
#endif
    weigh_portable(scores, v_scales, t, slots, highest, &how, top, &sums);
    return tl_softmax_of(sums.total, sums.largest, top, bits);
}
