#include "dsp.h"
#include "kernels.h"

/* SMMULR divides by 2^32 to nearest, ties up: the reciprocal has 2^9 in it, if there is room. */
void tl_quantize_codes(const int32_t *vector, uint32_t n, int32_t right, int32_t reciprocal, int8_t *codes) {
    uint32_t i = 0;
    if (reciprocal < 1 << 22) {
        const int32_t scaled = reciprocal * (1 << 9);
        for (; i + 4 <= n; i += 4) {
            const int32_t *v = vector + i;
            const uint32_t c0 = (uint32_t)tl_smmulr(v[0] >> right, scaled),
                           c1 = (uint32_t)tl_smmulr(v[1] >> right, scaled);
            const uint32_t c2 = (uint32_t)tl_smmulr(v[2] >> right, scaled),
                           c3 = (uint32_t)tl_smmulr(v[3] >> right, scaled);
            tl_store_word(codes + i, tl_uxtb16(tl_pkhbt(c0, c2)) | tl_uxtb16(tl_pkhbt(c1, c3)) << 8);
        }
    }
    for (; i < n; i++) codes[i] = (int8_t)(((vector[i] >> right) * reciprocal + (1 << 22)) >> 23);
}
