/* The input of the int4 kernels, and their reference in portable C. */
#ifndef TL_ROW_PAIRS_INT4_H
#define TL_ROW_PAIRS_INT4_H

#include "kernels.h"

/* 32 columns of an input; the last ones are filled up with zeros. bias: the start value of a sum, -8 times the sum of
 * x, because lower halves are codes plus 8: 64 bits, the lower word first, then two words that may be anything. */
struct tl_int4_input {
    int8_t x[TL_SCALE_COLUMNS];
    int32_t bias[4];
};

typedef char tl_assert_int4_input[TL_INT4_INPUT_BYTES(TL_SCALE_COLUMNS) == sizeof(struct tl_int4_input) ? 1 : -1];

/* Bytes of a group's codes for 32 columns. */
#define TL_INT4_PART (TL_INT4_GROUP_ROWS / 2u * TL_SCALE_COLUMNS)

static inline uint32_t tl_scales_of_row(uint32_t columns) {
    return (columns + TL_SCALE_COLUMNS - 1u) / TL_SCALE_COLUMNS;
}

/* tl_dot_groups_int4 in portable C. */
void tl_portable_dot_groups_int4(const struct tl_matrix *w, const uint8_t *input, uint32_t first, uint32_t last,
                                 int32_t *sums);

#endif
