#include "kernels.h"

TL_HOT void tl_requantize_rows(int32_t *values, const uint16_t *mantissa, uint32_t n, int32_t multiplier,
                               int32_t right) {
    for (uint32_t i = 0; i < n; i++) values[i] = tl_requantize(values[i], mantissa[i] * multiplier, right);
}
