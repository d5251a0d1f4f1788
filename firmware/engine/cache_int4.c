#include "cache_int4.h"

#include <string.h>

#include "placement.h"
#include "vectors.h"

/* One code, within +-7. */
static inline uint32_t code_of(int32_t value, int32_t right, int32_t reciprocal) {
    return (uint32_t)(((value >> right) * reciprocal + (1 << 22)) >> 23);
}

TL_HOT struct tl_scale tl_quantize_packed_int4(const int32_t *vector, uint32_t n, int8_t *packed) {
    const uint32_t half = (n + 1u) / 2u, largest = tl_largest(vector, n);
    struct tl_scale scale = {0, 0};
    if (largest == 0) {
        for (uint32_t i = 0; i < half; i++) packed[i] = 0;
        return scale;
    }
    const int32_t down = tl_bit_length(largest) - 15;
    /* As in tl_quantize_to. */
    const uint32_t fifteen = down > 0 ? (largest + (1u << down) - 1u) >> down : largest << -down;
    /* (fifteen + 27) / 28: 28 * 37450 = 2^20 + 24, which is exact enough below 2^20 / 24. */
    scale.mantissa = (int32_t)((fifteen + 27u) * 37450u >> 20);
    scale.exponent = down - 2;
    const int32_t right = tl_max(down, 0), reciprocal = (1 << 21) / scale.mantissa * (1 << tl_max(-down, 0));
    for (uint32_t i = 0; i < half; i++) {
        const uint32_t upper = i + half < n ? code_of(vector[i + half], right, reciprocal) : 0;
        packed[i] = (int8_t)((code_of(vector[i], right, reciprocal) & 15u) | (upper & 15u) << 4);
    }
    return scale;
}

#if defined(__GNUC__)
#define WORD_ALIGNED(bytes) __builtin_assume_aligned(bytes, 4)
#else
#define WORD_ALIGNED(bytes) (bytes)
#endif

/* Unpacks four bytes at a time. The rows are word-aligned because their length is a multiple of four bytes. */
static inline void unpack_words(const int8_t *packed, uint32_t half, int8_t *codes) {
    TL_UNROLL
    for (uint32_t i = 0; i < half; i += 4u) {
        uint32_t both, lower, upper;
        memcpy(&both, WORD_ALIGNED(packed + i), sizeof both);
        lower = both << 4 & 0xF0F0F0F0u;
        upper = both & 0xF0F0F0F0u;
        memcpy(WORD_ALIGNED(codes + i), &lower, sizeof lower);
        memcpy(WORD_ALIGNED(codes + half + i), &upper, sizeof upper);
    }
}

TL_HOT void tl_unpack_int4(const int8_t *packed, uint32_t rows, uint32_t n, int8_t *codes) {
    const uint32_t half = (n + 1u) / 2u;
    for (uint32_t row = 0; row < rows; row++, packed += half, codes += n) {
        if (n % 8u == 0) {
            unpack_words(packed, half, codes);
            continue;
        }
        for (uint32_t i = 0; i < half; i++) {
            const uint32_t both = (uint8_t)packed[i];
            codes[i] = (int8_t)(both << 4 & 0xF0u);
            if (i + half < n) codes[i + half] = (int8_t)(both & 0xF0u);
        }
    }
}
