#include "kernels.h"
#include "vector_level.h"

/* Plain C, which compilers vectorise for each level at -O3. */
TL_INLINE void quantize(const int32_t *vector, uint32_t n, int32_t right, int32_t reciprocal, int8_t *codes) {
    for (uint32_t i = 0; i < n; i++) codes[i] = (int8_t)(((vector[i] >> right) * reciprocal + (1 << 22)) >> 23);
}

TL_FOR_EACH_LEVEL(quantize, (const int32_t *vector, uint32_t n, int32_t right, int32_t reciprocal, int8_t *codes),
                  (vector, n, right, reciprocal, codes))

void tl_quantize_codes(const int32_t *vector, uint32_t n, int32_t right, int32_t reciprocal, int8_t *codes) {
    TL_AT_LEVEL(quantize, (vector, n, right, reciprocal, codes));
}
