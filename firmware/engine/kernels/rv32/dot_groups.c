/* Two rows in one multiplication: a column's codes of two rows, 16 bits apart, times x give two products, each in a lane
 * of 16 bits. A lane holds sums of columns as long as their magnitudes x have a sum of at most 257; then it is emptied.
 * That is so for most runs of four columns, and for any two. */
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "kernels.h"

/* The lower lane is signed: it borrows from the upper one, less with half its range added. */
#define HALF_LANE 0x8000u
/* Codes are stored + 128, in both lanes. */
#define BIAS 0x00800080u
#define EVEN_COLUMN 0x00FF00FFu
#define LANE_LIMIT 257u

/* Four columns of an input. */
struct quad {
    int32_t even[2];
    int32_t odd[2];  /* x * 2^24 */
    uint32_t offset; /* HALF_LANE less the bias' part in the lanes; 0 if the lanes hold two columns alone */
};

static inline uint32_t offset_of(int32_t x) {
    return HALF_LANE - BIAS * (uint32_t)x;
}

static inline uint32_t magnitude(int32_t x) {
    return (uint32_t)(x < 0 ? -x : x);
}

static inline void expand(const int8_t *codes, struct quad *quad) {
    const int32_t x0 = codes[0], x1 = codes[1], x2 = codes[2], x3 = codes[3];
    const bool fits = magnitude(x0) + magnitude(x1) + magnitude(x2) + magnitude(x3) <= LANE_LIMIT;
    *quad = (struct quad){{x0, x2}, {x1 * (1 << 24), x3 * (1 << 24)}, fits ? offset_of(x0 + x1 + x2 + x3) : 0};
}

void tl_expand(const int8_t *codes, uint32_t n, uint8_t *input) {
    struct quad *quad = (struct quad *)(void *)input;
    for (; n >= 4; n -= 4, codes += 4) expand(codes, quad++);
    if (n > 0) {
        int8_t rest[4] = {0};
        memcpy(rest, codes, n);
        expand(rest, quad);
    }
}

/* The lanes of two rows at two columns. */
static inline uint32_t lanes(uint32_t codes, int32_t even, int32_t odd) {
    const uint32_t first = codes & EVEN_COLUMN, second = codes - first; /* * 2^8, so that mulhsu leaves codes * x */
    return first * (uint32_t)even + (uint32_t)(((int64_t)odd * (int64_t)second) >> 32);
}

/* Lets no code be loaded before a sum is done: a compiler that loads them all first has more than its registers hold. */
#if defined(__GNUC__)
#define AFTER(sum) __asm__("" : "+r"(codes) : "r"(sum))
#else
#define AFTER(sum) (void)(sum)
#endif

/* The sums of two rows: the upper one's, and both in lanes that overflow into each other. */
#define EMPTY(i, sum)                                                                                                  \
    do {                                                                                                               \
        const uint32_t full = (sum);                                                                                   \
        high##i += (uint32_t)((int32_t)full >> 16);                                                                    \
        both##i += full;                                                                                               \
        AFTER(both##i);                                                                                                \
    } while (0)
#define FOUR_COLUMNS(i) EMPTY(i, lanes(codes[i], even0, odd0) + lanes(codes[(i) + 4], even1, odd1) + offset)
#define TWO_COLUMNS(i)                                                                                                 \
    do {                                                                                                               \
        EMPTY(i, lanes(codes[i], even0, odd0) + offset0);                                                              \
        EMPTY(i, lanes(codes[(i) + 4], even1, odd1) + offset1);                                                        \
        both##i -= HALF_LANE;                                                                                          \
    } while (0)
#define STORE(i)                                                                                                       \
    do {                                                                                                               \
        sums[2 * (i)] = (int32_t)(both##i - (high##i << 16));                                                          \
        sums[2 * (i) + 1] = (int32_t)high##i;                                                                          \
    } while (0)

void tl_dot_groups(const struct tl_matrix *w, const uint8_t *input, uint32_t first, uint32_t last, int32_t *sums) {
    const uint32_t quads = (w->columns + 3u) / 4u;
    const struct quad *const begin = (const struct quad *)(const void *)input, *const end = begin + quads;
    for (uint32_t group = first; group < last; group++, sums += TL_GROUP_ROWS) {
        const uint32_t *codes = (const uint32_t *)(const void *)(w->groups + (size_t)group * w->group_bytes);
        uint32_t high0 = 0, high1 = 0, high2 = 0, high3 = 0;
        uint32_t both0 = -(quads * HALF_LANE), both1 = both0, both2 = both0, both3 = both0;
        for (const struct quad *x = begin; x < end; x++, codes += TL_GROUP_ROWS) {
            const int32_t even0 = x->even[0], even1 = x->even[1], odd0 = x->odd[0], odd1 = x->odd[1];
            const uint32_t offset = x->offset;
            if (offset != 0) {
                FOUR_COLUMNS(0);
                FOUR_COLUMNS(1);
                FOUR_COLUMNS(2);
                FOUR_COLUMNS(3);
            } else {
                const uint32_t offset0 = offset_of(even0 + (odd0 >> 24)), offset1 = offset_of(even1 + (odd1 >> 24));
                TWO_COLUMNS(0);
                TWO_COLUMNS(1);
                TWO_COLUMNS(2);
                TWO_COLUMNS(3);
            }
        }
        STORE(0);
        STORE(1);
        STORE(2);
        STORE(3);
    }
}

int8_t tl_code(const struct tl_matrix *w, uint32_t row, uint32_t column) {
    const uint8_t *group = w->groups + (size_t)(row / TL_GROUP_ROWS) * w->group_bytes;
    return (int8_t)(group[(column / 2u * TL_GROUP_ROWS + row % TL_GROUP_ROWS) * 2u + column % 2u] - 128);
}
