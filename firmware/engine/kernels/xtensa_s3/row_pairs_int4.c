#include "row_pairs_int4.h"

#include <stddef.h>
#include <string.h>

#include "kernels.h"

static inline int32_t lower(uint8_t byte) {
    return (int32_t)(byte & 15u) - 8;
}

/* A code from four bits in two's complement. */
static inline int32_t upper(uint8_t byte) {
    return (int32_t)((uint32_t)byte >> 4 ^ 8u) - 8;
}

/* The sum of 32 int8, a word of four at a time. Plus 128 they are unsigned, so two 16-bit lanes can add two each. */
static inline int32_t sum_of(const int8_t *x) {
    uint32_t lanes = 0;
    for (uint32_t i = 0; i < TL_SCALE_COLUMNS; i += 4u) {
        uint32_t four;
        memcpy(&four, __builtin_assume_aligned(x + i, 4), sizeof four);
        four ^= 0x80808080u;
        lanes += (four & 0x00FF00FFu) + (four >> 8 & 0x00FF00FFu);
    }
    return (int32_t)((lanes & 0xFFFFu) + (lanes >> 16)) - (int32_t)TL_SCALE_COLUMNS * 128;
}

void tl_expand_int4(const int8_t *codes, uint32_t n, uint8_t *input) {
    struct tl_int4_input *part = (struct tl_int4_input *)(void *)input;
    for (; n > 0; part++) {
        const uint32_t size = n < TL_SCALE_COLUMNS ? n : TL_SCALE_COLUMNS;
        if (size < TL_SCALE_COLUMNS) memset(part->x, 0, sizeof part->x);
        memcpy(part->x, codes, size);
        part->bias[0] = -8 * sum_of(part->x);
        part->bias[1] = part->bias[0] >> 31;
        n -= size;
        codes += size;
    }
}

void tl_portable_dot_groups_int4(const struct tl_matrix *w, const uint8_t *input, uint32_t first, uint32_t last,
                                 int32_t *sums) {
    const uint32_t count = tl_scales_of_row(w->columns);
    for (uint32_t group = first; group < last; group++, sums += TL_INT4_GROUP_ROWS) {
        const uint8_t *bytes = w->groups + (size_t)group * w->group_bytes, *scales = bytes + count * TL_INT4_PART;
        const struct tl_int4_input *part = (const struct tl_int4_input *)(const void *)input;
        for (uint32_t row = 0; row < TL_INT4_GROUP_ROWS; row++) sums[row] = 0;
        for (uint32_t i = 0; i < count; i++, part++) {
            for (uint32_t row = 0; row < TL_INT4_GROUP_ROWS; row += 2, bytes += TL_SCALE_COLUMNS, scales += 2) {
                int32_t low = 0, high = 0;
                for (uint32_t k = 0; k < TL_SCALE_COLUMNS; k++) {
                    low += lower(bytes[k]) * part->x[k];
                    high += upper(bytes[k]) * part->x[k];
                }
                sums[row] += low * scales[0];
                sums[row + 1] += high * scales[1];
            }
        }
    }
}

int32_t tl_code_int4(const struct tl_matrix *w, uint32_t row, uint32_t column) {
    const uint8_t *group = w->groups + (size_t)(row / TL_INT4_GROUP_ROWS) * w->group_bytes;
    const uint32_t part = column / TL_SCALE_COLUMNS, within = row % TL_INT4_GROUP_ROWS;
    const uint8_t byte = group[part * TL_INT4_PART + within / 2u * TL_SCALE_COLUMNS + column % TL_SCALE_COLUMNS];
    const int32_t scale = group[tl_scales_of_row(w->columns) * TL_INT4_PART + part * TL_INT4_GROUP_ROWS + within];
    return (within % 2u == 0 ? lower(byte) : upper(byte)) * scale;
}
