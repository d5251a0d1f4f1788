#include "high_product.h"

#include "dsp.h"
#include "kernels.h"

/* Shifts by 32 + `down` bits: the high word of a product, shifted further and rounded. It works for every value. */
TL_HOT static void requantize_down(int32_t *values, const uint16_t *mantissa, uint32_t n, int32_t multiplier,
                                   int32_t down) {
    const int32_t half = 1 << (down - 1);
    TL_UNROLL
    for (uint32_t i = 0; i < n; i++) {
        const int64_t product = (int64_t)values[i] * (mantissa[i] * multiplier);
        values[i] = ((int32_t)(product >> 32) + half) >> down;
    }
}

TL_HOT void tl_requantize_rows(int32_t *values, const uint16_t *mantissa, uint32_t n, int32_t multiplier,
                               int32_t right) {
    if (right > 32) {
        requantize_down(values, mantissa, n, multiplier, tl_min(right, 62) - 32);
        return;
    }
    const struct tl_high_product how = tl_high_product(multiplier, right);
    uint32_t i = 0;
    if (how.fits) {
        const int32_t limit = INT32_MAX >> how.up;
        for (; i + 4 <= n; i += 4) {
            int32_t *v = values + i;
            const int32_t widest =
                (v[0] ^ v[0] >> 31) | (v[1] ^ v[1] >> 31) | (v[2] ^ v[2] >> 31) | (v[3] ^ v[3] >> 31);
            if (widest > limit) break;
            v[0] = tl_smmulr((int32_t)((uint32_t)v[0] << how.up), mantissa[i] * how.scaled);
            v[1] = tl_smmulr((int32_t)((uint32_t)v[1] << how.up), mantissa[i + 1] * how.scaled);
            v[2] = tl_smmulr((int32_t)((uint32_t)v[2] << how.up), mantissa[i + 2] * how.scaled);
            v[3] = tl_smmulr((int32_t)((uint32_t)v[3] << how.up), mantissa[i + 3] * how.scaled);
        }
    }
    for (; i < n; i++) values[i] = tl_requantize(values[i], mantissa[i] * multiplier, right);
}
