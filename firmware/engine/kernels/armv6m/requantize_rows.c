#include "requantize_small.h"

#include "kernels.h"
#include "requantize_any.h"

#if defined(__GNUC__)
#define UNLIKELY(condition) __builtin_expect(condition, 0)
#else
#define UNLIKELY(condition) (condition)
#endif

TL_HOT void tl_requantize_rows(int32_t *values, const uint16_t *mantissa, uint32_t n, int32_t multiplier,
                               int32_t right) {
    const int32_t rest = right - 2 * PART;
    if (rest < 1 || rest > 31) {
        for (uint32_t i = 0; i < n; i++) values[i] = requantize_any(values[i], mantissa[i] * multiplier, right);
        return;
    }
    const int32_t half = (int32_t)(1u << (rest - 1));
    for (uint32_t i = 0; i < n; i++) {
        const int32_t v = values[i], m = mantissa[i] * multiplier;
        if (UNLIKELY((uint32_t)(v >> VALUE_BITS) + 1u > 1u)) {
            values[i] = requantize_any(v, m, right);
            continue;
        }
        values[i] = requantize_small(v, m, half, rest);
    }
}
