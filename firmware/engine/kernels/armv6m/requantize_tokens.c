#include <stddef.h>

#include "kernels.h"
#include "placement.h"
#include "requantize_small.h"

/* As tl_requantize_rows, but without a check of each value if `most` says that all are small. */
TL_HOT void tl_requantize_tokens(int32_t *values, uint32_t stride, uint32_t tokens, const uint16_t *mantissa,
                                 uint32_t n, const struct tl_scale *scales, int32_t exponent, int32_t most) {
    for (uint32_t t = 0; t < tokens; t++, values += stride) {
        const int32_t multiplier = scales[t].mantissa, right = -(exponent + scales[t].exponent),
                      rest = right - 2 * PART;
        if (rest < 1 || rest > 31 || most >> VALUE_BITS != 0) {
            tl_requantize_rows(values, mantissa, n, multiplier, right);
            continue;
        }
        const int32_t half = (int32_t)(1u << (rest - 1));
        for (uint32_t i = 0; i < n; i++) values[i] = requantize_small(values[i], mantissa[i] * multiplier, half, rest);
    }
}
