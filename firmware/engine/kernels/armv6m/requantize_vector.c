#include "kernels.h"
#include "requantize_any.h"

TL_HOT void tl_requantize_vector(const int32_t *values, uint32_t n, int32_t multiplier, int32_t right,
                                 int32_t *results) {
    for (uint32_t i = 0; i < n; i++) results[i] = requantize_any(values[i], multiplier, right);
}
