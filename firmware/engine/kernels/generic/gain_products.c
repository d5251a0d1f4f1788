#include "kernels.h"

TL_HOT uint32_t tl_gain_products(const int32_t *x, const int16_t *gain, uint32_t n, int32_t down, int32_t *products,
                                 uint64_t *squares) {
    uint64_t total = *squares;
    uint32_t largest = 0, i = 0;
    for (; i + 2 <= n; i += 2) { /* the sum of two squares fits 32 bits */
        const int32_t first = tl_shift(x[i], down), second = tl_shift(x[i + 1], down);
        total += (uint32_t)(first * first) + (uint32_t)(second * second);
        products[i] = first * gain[i];
        products[i + 1] = second * gain[i + 1];
        const uint32_t magnitude = tl_magnitude(products[i]), next = tl_magnitude(products[i + 1]);
        largest = magnitude > largest ? magnitude : largest;
        largest = next > largest ? next : largest;
    }
    if (i < n) {
        const int32_t last = tl_shift(x[i], down);
        total += (uint32_t)(last * last);
        products[i] = last * gain[i];
        const uint32_t magnitude = tl_magnitude(products[i]);
        largest = magnitude > largest ? magnitude : largest;
    }
    *squares = total;
    return largest;
}
