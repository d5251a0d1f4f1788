#include "dsp.h"
#include "kernels.h"

/* SMMULR rounds a product to nearest, ties up, by 32 bits: with the value shifted left by `up` and the multiplier by as
 * much as it has room, 32 - right in all, that is the result, and it fits. */
void tl_requantize_rows(int32_t *values, const uint16_t *mantissa, uint32_t n, int32_t multiplier, int32_t right) {
    const int32_t room = 15 - tl_bit_length((uint32_t)multiplier); /* a mantissa has 16 bits */
    const int32_t by = tl_min(tl_max(room, 0), tl_max(32 - right, 0)), up = 32 - right - by;
    const int32_t scaled = multiplier * (1 << by);
    uint32_t i = 0;
    if (room >= 0 && up >= 0 && up < 31) {
        const int32_t limit = INT32_MAX >> up;
        for (; i + 4 <= n; i += 4) {
            int32_t *v = values + i;
            const int32_t widest =
                (v[0] ^ v[0] >> 31) | (v[1] ^ v[1] >> 31) | (v[2] ^ v[2] >> 31) | (v[3] ^ v[3] >> 31);
            if (widest > limit) break;
            v[0] = tl_smmulr((int32_t)((uint32_t)v[0] << up), mantissa[i] * scaled);
            v[1] = tl_smmulr((int32_t)((uint32_t)v[1] << up), mantissa[i + 1] * scaled);
            v[2] = tl_smmulr((int32_t)((uint32_t)v[2] << up), mantissa[i + 2] * scaled);
            v[3] = tl_smmulr((int32_t)((uint32_t)v[3] << up), mantissa[i + 3] * scaled);
        }
    }
    for (; i < n; i++) values[i] = tl_requantize(values[i], mantissa[i] * multiplier, right);
}
