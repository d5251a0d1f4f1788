#include <stddef.h>
#include <string.h>

#include "dot_rows.h"
#include "kernels.h"

void tl_expand(const int8_t *codes, uint32_t n, uint8_t *input) {
    memcpy(input, codes, n); /* the bytes after the codes may be anything: their weights are zeros */
}

void tl_dot_groups(const struct tl_matrix *w, const uint8_t *input, uint32_t first, uint32_t last, int32_t *sums) {
    const int8_t *codes = (const int8_t *)w->groups + (size_t)first * w->group_bytes;
    tl_dot_rows(codes, last - first, (const int8_t *)input, w->group_bytes, sums);
}

int32_t tl_code(const struct tl_matrix *w, uint32_t row, uint32_t column) {
    return (int8_t)w->groups[(size_t)row * w->group_bytes + column];
}
