#include <stddef.h>

#include "kernels.h"

TL_HOT void tl_requantize_tokens(int32_t *values, uint32_t stride, uint32_t tokens, const uint16_t *mantissa,
                                 uint32_t n, const struct tl_scale *scales, int32_t exponent, int32_t most) {
    (void)most;
    for (uint32_t t = 0; t < tokens; t++, values += stride) {
        tl_requantize_rows(values, mantissa, n, scales[t].mantissa, -(exponent + scales[t].exponent));
    }
}
