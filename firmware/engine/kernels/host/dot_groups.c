#include <string.h>

#include "dots.h"
#include "kernels.h"

void tl_expand(const int8_t *codes, uint32_t n, uint8_t *input) {
    memcpy(input, codes, n);
}

void tl_dot_groups(const struct tl_matrix *w, const uint8_t *input, uint32_t first, uint32_t last, int32_t *sums) {
    const int8_t *rows = (const int8_t *)w->groups + (size_t)first * w->group_bytes;
    tl_dots((const int8_t *)input, rows, w->group_bytes, w->columns, last - first, sums);
}

int32_t tl_code(const struct tl_matrix *w, uint32_t row, uint32_t column) {
    return (int8_t)w->groups[(size_t)row * w->group_bytes + column];
}
