#include <stddef.h>
#include <string.h>

#include "instructions.h"
#include "kernels.h"
#include "row_pairs_int4.h"
#include "vector_unit.h"

#if defined(__XTENSA__)

/* Rows 2i and 2i + 1 of a group times 32 columns of x, which are in registers x and y. Registers 0 and 1 have the
 * codes, then those of the next two rows. Register 7 is a mask of the lower halves. The lower halves give `even`, the
 * sum of the even row; whole bytes give 16 times the sum of the odd row plus `even`. `put` is = or +=. */
#define ROW_PAIR(i, x, y, put)                                                                                         \
    {                                                                                                                  \
        int32_t even, both;                                                                                            \
        PIE_AND(2, 0, 7);                                                                                              \
        PIE_LOAD_ACCX(bias);                                                                                           \
        PIE_MULTIPLY(2, x);                                                                                            \
        PIE_AND(2, 1, 7);                                                                                              \
        PIE_MULTIPLY(2, y);                                                                                            \
        PIE_READ_ACCX(even, 0u);                                                                                       \
        PIE_LOAD_ACCX(bias);                                                                                           \
        PIE_MULTIPLY_LOAD(0, codes, 0, x);                                                                             \
        PIE_MULTIPLY_LOAD(1, codes, 1, y);                                                                             \
        PIE_READ_ACCX(both, 0u);                                                                                       \
        even##i put even *scales[2 * (i)];                                                                             \
        odd##i put((both - even) >> 4) * scales[2 * (i) + 1];                                                          \
    }

#define STORE(i)                                                                                                       \
    sums[2 * (i)] = even##i;                                                                                           \
    sums[2 * (i) + 1] = odd##i;

/* Groups with rows of 33 to 64 columns: x stays in registers 3 to 6. */
static void groups_of_2_parts(const uint8_t *group, uint32_t group_bytes, const uint8_t *input, int32_t *sums,
                              const int32_t *end) {
    const uint8_t *x = input, *bias = input + TL_SCALE_COLUMNS;
    PIE_LOAD(3, x);
    PIE_LOAD(4, x);
    x += sizeof(struct tl_int4_input) - TL_SCALE_COLUMNS;
    PIE_LOAD(5, x);
    PIE_LOAD(6, x);
    for (; sums < end; sums += TL_INT4_GROUP_ROWS, group += group_bytes) {
        const uint8_t *codes = group, *scales = group + 2 * TL_INT4_PART;
        int32_t even0, odd0, even1, odd1, even2, odd2, even3, odd3;
        PIE_LOAD(0, codes);
        PIE_LOAD(1, codes);
        ROW_PAIR(0, 3, 4, =)
        ROW_PAIR(1, 3, 4, =)
        ROW_PAIR(2, 3, 4, =)
        ROW_PAIR(3, 3, 4, =)
        scales += TL_INT4_GROUP_ROWS;
        bias += sizeof(struct tl_int4_input);
        ROW_PAIR(0, 5, 6, +=)
        STORE(0)
        ROW_PAIR(1, 5, 6, +=)
        STORE(1)
        ROW_PAIR(2, 5, 6, +=)
        STORE(2)
        ROW_PAIR(3, 5, 6, +=)
        STORE(3)
        bias -= sizeof(struct tl_int4_input);
    }
}

/* Groups with rows of `count` times 32 columns. */
static void groups_of_parts(const uint8_t *group, uint32_t group_bytes, uint32_t count, const uint8_t *input,
                            int32_t *sums, const int32_t *end) {
    for (; sums < end; sums += TL_INT4_GROUP_ROWS, group += group_bytes) {
        const uint8_t *codes = group, *scales = group + count * TL_INT4_PART, *bias = input;
        const uint8_t *const scales_end = scales + count * TL_INT4_GROUP_ROWS;
        int32_t even0 = 0, odd0 = 0, even1 = 0, odd1 = 0, even2 = 0, odd2 = 0, even3 = 0, odd3 = 0;
        PIE_LOAD(0, codes);
        PIE_LOAD(1, codes);
        do {
            PIE_LOAD(3, bias);
            PIE_LOAD(4, bias);
            ROW_PAIR(0, 3, 4, +=)
            ROW_PAIR(1, 3, 4, +=)
            ROW_PAIR(2, 3, 4, +=)
            ROW_PAIR(3, 3, 4, +=)
            bias += sizeof(struct tl_int4_input) - TL_SCALE_COLUMNS;
            scales += TL_INT4_GROUP_ROWS;
        } while (scales != scales_end);
        STORE(0)
        STORE(1)
        STORE(2)
        STORE(3)
    }
}

static void vector(const struct tl_matrix *w, const uint8_t *input, uint32_t first, uint32_t last, int32_t *sums) {
    static const uint8_t lower_halves[16]
        __attribute__((aligned(16))) = {15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15};
    const uint8_t *mask = lower_halves, *group = w->groups + (size_t)first * w->group_bytes;
    const int32_t *const end = sums + (last - first) * TL_INT4_GROUP_ROWS;
    const uint32_t count = tl_scales_of_row(w->columns);
    PIE_LOAD(7, mask);
    if (count == 2) {
        groups_of_2_parts(group, w->group_bytes, input, sums, end);
    } else {
        groups_of_parts(group, w->group_bytes, count, input, sums, end);
    }
}

#endif

void tl_dot_groups_int4(const struct tl_matrix *w, const uint8_t *input, uint32_t first, uint32_t last, int32_t *sums) {
#if defined(__XTENSA__)
    if (tl_vector_unit) {
        vector(w, input, first, last, sums);
        return;
    }
#endif
    tl_portable_dot_groups_int4(w, input, first, last, sums);
}
