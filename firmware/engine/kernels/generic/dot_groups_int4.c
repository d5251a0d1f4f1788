#include <stddef.h>
#include <string.h>

#include "kernels.h"

/* Bytes of the codes of a row that share a scale. */
#define HALF (TL_SCALE_COLUMNS / 2u)

static inline uint32_t scales_of_row(uint32_t columns) {
    return (columns + TL_SCALE_COLUMNS - 1u) / TL_SCALE_COLUMNS;
}

/* A code from four bits in two's complement. */
static inline int32_t lower(uint8_t byte) {
    return (int32_t)((byte & 15u) ^ 8u) - 8;
}

static inline int32_t upper(uint8_t byte) {
    return (int32_t)((uint32_t)byte >> 4 ^ 8u) - 8;
}

TL_HOT void tl_expand_int4(const int8_t *codes, uint32_t n, uint8_t *input) {
    memcpy(input, codes, n);
    memset(input + n, 0, TL_INT4_INPUT_BYTES(n) - n);
}

static inline int32_t dot(const uint8_t *halves, const int8_t *x) {
    int32_t sum = 0;
    for (uint32_t i = 0; i < HALF; i++) sum += lower(halves[i]) * x[i] + upper(halves[i]) * x[i + HALF];
    return sum;
}

TL_HOT void tl_dot_groups_int4(const struct tl_matrix *w, const uint8_t *input, uint32_t first, uint32_t last,
                               int32_t *sums) {
    const uint32_t count = scales_of_row(w->columns);
    for (uint32_t group = first; group < last; group++, sums += TL_INT4_GROUP_ROWS) {
        const uint8_t *halves = w->groups + (size_t)group * w->group_bytes;
        const uint8_t *scales = halves + (size_t)count * TL_INT4_GROUP_ROWS * HALF;
        const int8_t *x = (const int8_t *)input;
        for (uint32_t row = 0; row < TL_INT4_GROUP_ROWS; row++) sums[row] = 0;
        for (uint32_t i = 0; i < count; i++, x += TL_SCALE_COLUMNS) {
            for (uint32_t row = 0; row < TL_INT4_GROUP_ROWS; row++, halves += HALF) {
                sums[row] += dot(halves, x) * *scales++;
            }
        }
    }
}

TL_HOT int32_t tl_code_int4(const struct tl_matrix *w, uint32_t row, uint32_t column) {
    const uint8_t *group = w->groups + (size_t)(row / TL_INT4_GROUP_ROWS) * w->group_bytes;
    const uint32_t part = column / TL_SCALE_COLUMNS * TL_INT4_GROUP_ROWS + row % TL_INT4_GROUP_ROWS;
    const uint32_t within = column % TL_SCALE_COLUMNS;
    const uint8_t byte = group[part * HALF + within % HALF];
    const int32_t scale = group[scales_of_row(w->columns) * TL_INT4_GROUP_ROWS * HALF + part];
    return (within < HALF ? lower(byte) : upper(byte)) * scale;
}
