/* Two rows in one multiplication: the codes + 8 of two rows in a column, 16 bits apart, times x give two products, each
 * in a lane of 16 bits. Without the contribution of the 8, a lane holds the sum of 32 columns, because 32 * 8 * 127 <
 * 2^15. So the lanes are emptied once for each scale.
 */
#include <stddef.h>
#include <string.h>

#include "kernels.h"
#include "lanes_int4.h"
#include "order.h"

/* The lower lane is signed and would borrow from the upper one. Half its range is added, so that it is not negative. */
#define HALF_LANE 0x8000u
/* The 8 that is added to codes, in both lanes. */
#define BIAS 0x00080008u
#define QUADS (TL_SCALE_COLUMNS / 4u)
/* Bytes of a group for 32 columns. */
#define PART_BYTES (TL_INT4_GROUP_ROWS / 2u * TL_SCALE_COLUMNS + TL_INT4_GROUP_ROWS)

/* 32 columns of an input; the last ones are filled up with zeros. */
struct part {
    uint32_t offset; /* start value of the lanes: HALF_LANE minus the contribution of the bias */
    struct column_quad quads[QUADS];
};

typedef char tl_assert_part[TL_INT4_INPUT_BYTES(TL_SCALE_COLUMNS) == sizeof(struct part) ? 1 : -1];

TL_HOT void tl_expand_int4(const int8_t *codes, uint32_t n, uint8_t *input) {
    for (struct part *part = (struct part *)(void *)input; n > 0; part++) {
        const uint32_t size = n < TL_SCALE_COLUMNS ? n : TL_SCALE_COLUMNS;
        int32_t sum = 0;
        int8_t rest[TL_SCALE_COLUMNS];
        const int8_t *x = codes;
        if (size < TL_SCALE_COLUMNS) {
            memset(rest, 0, sizeof rest);
            memcpy(rest, codes, size);
            x = rest;
        }
        for (uint32_t i = 0; i < QUADS; i++, x += 4) {
            part->quads[i] = quad_of(x);
            sum += x[0] + x[1] + x[2] + x[3];
        }
        part->offset = HALF_LANE - BIAS * (uint32_t)sum;
        n -= size;
        codes += size;
    }
}

/* The macros below work on rows 2i and 2i + 1. */
#define EACH_ROW_PAIR(of) of(0) of(1) of(2) of(3)
#define DECLARE(i) int32_t even##i = 0, odd##i = 0;
#define BEGIN(i) uint32_t lanes##i = offset;
#define MULTIPLY(i)                                                                                                    \
    lanes##i += lanes_of_4(codes[i], quad);                                                                            \
    AFTER(lanes##i, codes);
#define EMPTY(i)                                                                                                       \
    even##i += (int32_t)((lanes##i & 0xFFFFu) - HALF_LANE) * scales[2 * (i)];                                          \
    odd##i += ((int32_t)lanes##i >> 16) * scales[2 * (i) + 1];                                                         \
    AFTER(odd##i, scales);
#define STORE(i)                                                                                                       \
    sums[2 * (i)] = even##i;                                                                                           \
    sums[2 * (i) + 1] = odd##i;

TL_HOT void tl_dot_groups_int4(const struct tl_matrix *w, const uint8_t *input, uint32_t first, uint32_t last,
                               int32_t *sums) {
    const struct part *const parts = (const struct part *)(const void *)input;
    const struct part *const end = parts + (w->columns + TL_SCALE_COLUMNS - 1u) / TL_SCALE_COLUMNS;
    for (uint32_t group = first; group < last; group++, sums += TL_INT4_GROUP_ROWS) {
        const uint32_t *codes = (const uint32_t *)(const void *)(w->groups + (size_t)group * w->group_bytes);
        EACH_ROW_PAIR(DECLARE)
        for (const struct part *part = parts; part < end; part++) {
            const uint32_t offset = part->offset;
            EACH_ROW_PAIR(BEGIN)
            for (const struct column_quad *x = part->quads; x < part->quads + QUADS; x++) {
                const struct column_quad quad = *x;
                EACH_ROW_PAIR(MULTIPLY)
                codes += TL_INT4_GROUP_ROWS / 2u;
            }
            const uint8_t *scales = (const uint8_t *)codes;
            EACH_ROW_PAIR(EMPTY)
            codes += TL_INT4_GROUP_ROWS / 4u;
        }
        EACH_ROW_PAIR(STORE)
    }
}

TL_HOT int32_t tl_code_int4(const struct tl_matrix *w, uint32_t row, uint32_t column) {
    const uint8_t *group = w->groups + (size_t)(row / TL_INT4_GROUP_ROWS) * w->group_bytes;
    const uint8_t *part = group + column / TL_SCALE_COLUMNS * PART_BYTES;
    const uint32_t within = row % TL_INT4_GROUP_ROWS, quad = column % TL_SCALE_COLUMNS / 4u;
    const uint32_t byte = part[(quad * TL_INT4_GROUP_ROWS + within) * 2u + column / 2u % 2u];
    return ((int32_t)(byte >> column % 2u * 4u & 15u) - 8) * part[PART_BYTES - TL_INT4_GROUP_ROWS + within];
}
