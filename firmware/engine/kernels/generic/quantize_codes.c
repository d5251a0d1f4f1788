#include "kernels.h"

TL_HOT void tl_quantize_codes(const int32_t *vector, uint32_t n, int32_t right, int32_t reciprocal, int8_t *codes) {
    TL_UNROLL
    for (uint32_t i = 0; i < n; i++) codes[i] = (int8_t)(((vector[i] >> right) * reciprocal + (1 << 22)) >> 23);
}
