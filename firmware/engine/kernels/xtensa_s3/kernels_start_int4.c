#include <string.h>

#include "kernels.h"
#include "row_pairs_int4.h"
#include "vector_unit.h"

#define GROUPS 2u
#define LONGEST 96u /* columns: 32 more than the longest row with code of its own */
#define GROUP_BYTES (LONGEST / TL_SCALE_COLUMNS * (TL_INT4_PART + TL_INT4_GROUP_ROWS))
#define ALIGNED __attribute__((aligned(16)))

/* Fills bytes, which are codes, scales and numbers of an input, with every value. */
static void fill(uint8_t *bytes, uint32_t n, uint32_t seed) {
    for (uint32_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        bytes[i] = (uint8_t)(i % 7u == 3 ? (seed >> 31) + 127u : seed >> 24);
    }
}

/* Whether the sums of rows with this many columns are those of the portable C. */
static bool rows_agree(uint32_t columns) {
    uint8_t groups[GROUPS * (GROUP_BYTES + 8u) + 16u] ALIGNED, input[TL_INT4_INPUT_BYTES(LONGEST)] ALIGNED;
    int8_t x[LONGEST];
    int32_t sums[2][GROUPS * TL_INT4_GROUP_ROWS];
    struct tl_matrix w = {.groups = groups, .rows = GROUPS * TL_INT4_GROUP_ROWS, .columns = columns, .bits = 4};
    w.group_bytes = (tl_scales_of_row(columns) * (TL_INT4_PART + TL_INT4_GROUP_ROWS) + 15u) & ~15u;
    fill(groups, sizeof groups, columns);
    fill((uint8_t *)x, columns, columns + 1);
    tl_expand_int4(x, columns, input);
    for (uint32_t turn = 0; turn < 2; turn++) {
        tl_vector_unit = turn == 1;
        tl_dot_groups_int4(&w, input, 0, GROUPS, sums[turn]);
    }
    return memcmp(sums[0], sums[1], sizeof sums[0]) == 0;
}

bool tl_int4_rows_agree(void) {
    bool agree = true;
    for (uint32_t columns = TL_SCALE_COLUMNS; columns <= LONGEST; columns += TL_SCALE_COLUMNS) {
        agree = rows_agree(columns) && agree;
    }
    return agree;
}
