#include "kernels.h"

static inline void count(uint32_t distance, uint32_t shift, uint32_t *counts) {
    const uint32_t range = distance >> shift;
    if (range < TL_DISTANCES) counts[range]++;
}

void tl_count_distances(const int32_t *values, uint32_t n, uint32_t from, uint32_t shift, uint32_t *counts) {
    for (uint32_t i = 0; i < n; i++) count(from - (uint32_t)values[i], shift, counts);
}

void tl_count_least_distances(const int32_t *values, uint32_t n, uint32_t from, uint32_t shift, uint32_t *counts) {
    const int32_t *const b = values + n, *const c = b + n, *const d = c + n;
    for (uint32_t i = 0; i < n; i++) {
        count(from - (uint32_t)tl_max(tl_max(values[i], b[i]), tl_max(c[i], d[i])), shift, counts);
    }
}
