/* Two rows in one multiplication: the codes of two rows in a column, 16 bits apart, times x give two products, each in
 * a lane of 16 bits. A lane holds the sum of several columns if the sum of their magnitudes |x| is at most 257; then
 * the lanes are emptied into 32-bit sums. Most runs of four columns fit, and any two columns do.
 */
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "kernels.h"
#include "lanes.h"
#include "order.h"

/* The lower lane is signed and would borrow from the upper one. Half its range is added, so that it is not negative. */
#define HALF_LANE 0x8000u
/* Codes are stored plus 128, in both lanes. */
#define BIAS 0x00800080u
#define LANE_LIMIT 257u

/* Four columns of an input. */
struct quad {
    struct column_pair pairs[2];
    /* The start value of the lanes: HALF_LANE minus the contribution of the bias. The second is 0, which no columns
     * give, if the lanes hold all four columns. */
    uint32_t offset[2];
};

typedef char tl_assert_quad[TL_INPUT_BYTES(4) == sizeof(struct quad) ? 1 : -1];

static inline uint32_t offset_of(int32_t x) {
    return HALF_LANE - BIAS * (uint32_t)x;
}

static inline uint32_t magnitude(int32_t x) {
    return (uint32_t)(x < 0 ? -x : x);
}

static inline void expand(const int8_t *codes, struct quad *quad) {
    const int32_t x0 = codes[0], x1 = codes[1], x2 = codes[2], x3 = codes[3];
    const bool fits = magnitude(x0) + magnitude(x1) + magnitude(x2) + magnitude(x3) <= LANE_LIMIT;
    quad->pairs[0] = pair_of(x0, x1);
    quad->pairs[1] = pair_of(x2, x3);
    quad->offset[0] = offset_of(fits ? x0 + x1 + x2 + x3 : x0 + x1);
    quad->offset[1] = fits ? 0 : offset_of(x2 + x3);
}

TL_HOT void tl_expand(const int8_t *codes, uint32_t n, uint8_t *input) {
    struct quad *quad = (struct quad *)(void *)input;
    for (; n >= 4; n -= 4, codes += 4) expand(codes, quad++);
    if (n > 0) {
        int8_t rest[4] = {0};
        memcpy(rest, codes, n);
        expand(rest, quad);
    }
}

/* For rows 2i and 2i + 1. high: the sum of row 2i + 1. both: both sums, in overlapping lanes. full: lanes to empty. */
#define DECLARE(i) uint32_t high##i = 0, both##i = begin, full##i;
#define FIRST_PAIR(i)                                                                                                  \
    full##i = offset + lanes(codes[i], pair);                                                                          \
    AFTER(full##i, codes);
#define SECOND_PAIR(i)                                                                                                 \
    full##i += lanes(codes[TL_GROUP_ROWS / 2 + (i)], pair);                                                            \
    EMPTY(i)                                                                                                           \
    AFTER(both##i, codes);
#define EMPTY(i)                                                                                                       \
    high##i += (uint32_t)((int32_t)full##i >> 16);                                                                     \
    both##i += full##i;
#define EMPTY_BETWEEN(i)                                                                                               \
    HERE(full##i);                                                                                                     \
    EMPTY(i)                                                                                                           \
    both##i -= HALF_LANE;                                                                                              \
    full##i = offset;
#define STORE(i)                                                                                                       \
    sums[2 * (i)] = (int32_t)(both##i - (high##i << 16));                                                              \
    sums[2 * (i) + 1] = (int32_t)high##i;

TL_HOT void tl_dot_groups(const struct tl_matrix *w, const uint8_t *input, uint32_t first, uint32_t last,
                          int32_t *sums) {
    const uint32_t quads = (w->columns + 3u) / 4u, begin = 0u - quads * HALF_LANE;
    const struct quad *const inputs = (const struct quad *)(const void *)input, *const end = inputs + quads;
    for (uint32_t group = first; group < last; group++, sums += TL_GROUP_ROWS) {
        const uint32_t *codes = (const uint32_t *)(const void *)(w->groups + (size_t)group * w->group_bytes);
        EACH_ROW_PAIR(DECLARE)
        for (const struct quad *x = inputs; x < end; x++, codes += TL_GROUP_ROWS) {
            uint32_t offset = x->offset[0];
            struct column_pair pair = x->pairs[0];
            EACH_ROW_PAIR(FIRST_PAIR)
            AFTER(full0, x);
            offset = x->offset[1];
            if (offset != 0) {
                EACH_ROW_PAIR(EMPTY_BETWEEN)
            }
            pair = x->pairs[1];
            EACH_ROW_PAIR(SECOND_PAIR)
        }
        EACH_ROW_PAIR(STORE)
    }
}

TL_HOT int32_t tl_code(const struct tl_matrix *w, uint32_t row, uint32_t column) {
    const uint8_t *group = w->groups + (size_t)(row / TL_GROUP_ROWS) * w->group_bytes;
    return (int8_t)(group[(column / 2u * TL_GROUP_ROWS + row % TL_GROUP_ROWS) * 2u + column % 2u] - 128);
}
