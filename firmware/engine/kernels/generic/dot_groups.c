#include <stddef.h>
#include <string.h>

#include "kernels.h"

TL_HOT void tl_expand(const int8_t *codes, uint32_t n, uint8_t *input) {
    memcpy(input, codes, n);
}

TL_HOT void tl_dot_groups(const struct tl_matrix *w, const uint8_t *input, uint32_t first, uint32_t last,
                          int32_t *sums) {
    const int8_t *x = (const int8_t *)input;
    for (uint32_t row = first; row < last; row++) {
        const int8_t *codes = (const int8_t *)w->groups + (size_t)row * w->group_bytes;
        int32_t sum = 0;
        for (uint32_t i = 0; i < w->columns; i++) sum += codes[i] * x[i];
        *sums++ = sum;
    }
}

TL_HOT int32_t tl_code(const struct tl_matrix *w, uint32_t row, uint32_t column) {
    return (int8_t)w->groups[(size_t)row * w->group_bytes + column];
}
