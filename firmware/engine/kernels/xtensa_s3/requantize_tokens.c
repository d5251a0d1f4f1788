#include <stddef.h>

#include "instructions.h"
#include "kernels.h"

/* As tl_requantize_rows, but without a check of each value if `most` says that all can be shifted. */
void tl_requantize_tokens(int32_t *values, uint32_t stride, uint32_t tokens, const uint16_t *mantissa, uint32_t n,
                          const struct tl_scale *scales, int32_t exponent, int32_t most) {
    for (uint32_t t = 0; t < tokens; t++, values += stride) {
        const int32_t multiplier = scales[t].mantissa, right = -(exponent + scales[t].exponent), left = 33 - right;
        if (left < 0 || left > 30 || most >= 1 << (30 - left)) {
            tl_requantize_rows(values, mantissa, n, multiplier, right);
            continue;
        }
        const int32_t scale = 1 << left;
        TL_UNROLL
        for (uint32_t i = 0; i < n; i++) {
            values[i] = (tl_multiply_high(values[i] * scale, mantissa[i] * multiplier) + 1) >> 1;
        }
    }
}
