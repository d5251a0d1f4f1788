#include <stddef.h>

#include "kernels.h"

/* As tl_requantize_rows, but without a check of each value if `most` says that all can be shifted. */
TL_HOT void tl_requantize_tokens(int32_t *values, uint32_t stride, uint32_t tokens, const uint16_t *mantissa,
                                 uint32_t n, const struct tl_scale *scales, int32_t exponent, int32_t most) {
    for (uint32_t t = 0; t < tokens; t++, values += stride) {
        const int32_t multiplier = scales[t].mantissa, right = -(exponent + scales[t].exponent), up = 32 - right;
        if (right < 1 || right > 31 || most >= 1 << (right - 1)) {
            tl_requantize_rows(values, mantissa, n, multiplier, right);
            continue;
        }
        const uint32_t twice = 2u * (uint32_t)multiplier;
        TL_UNROLL
        for (uint32_t i = 0; i < n; i++) {
            const uint32_t doubled = mantissa[i] * twice;
            const int32_t high = (int32_t)(((int64_t)(int32_t)((uint32_t)values[i] << up) * (int64_t)doubled) >> 32);
            values[i] = (high + 1) >> 1;
        }
    }
}
