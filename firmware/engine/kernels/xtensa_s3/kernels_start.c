#include <string.h>

#include "dot_rows.h"
#include "kernels.h"
#include "vector_unit.h"

#define ROWS 3u
#define LONGEST 144u /* columns: an odd number of vectors, and more than the longest row with code of its own */
#define SLOTS 5u

bool tl_vector_unit;

/* Fills codes with numbers of every size, including the extremes. */
static void fill(int8_t *codes, uint32_t n, uint32_t seed) {
    for (uint32_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        codes[i] = (int8_t)(i % 7u == 3 ? (seed >> 31) + 127u : seed >> 24);
    }
}

/* Whether the sums of rows with this many columns are those of the portable C. */
static bool rows_agree(uint32_t columns) {
    int8_t codes[ROWS * LONGEST] __attribute__((aligned(16))), x[LONGEST] __attribute__((aligned(16)));
    int32_t sums[2][ROWS] = {{0}};
    fill(codes, ROWS * columns, columns);
    fill(x, columns, columns + 1);
    for (uint32_t turn = 0; turn < 2; turn++) {
        tl_vector_unit = turn == 1;
        tl_dot_rows(codes, ROWS, x, columns, sums[turn]);
    }
    return memcmp(sums[0], sums[1], sizeof sums[0]) == 0;
}

/* Whether the scores of two heads of this size are those of the portable C. */
static bool scores_agree(uint32_t head_dim) {
    int8_t queries[2 * 32], keys[(SLOTS + 1) * 32] __attribute__((aligned(16)));
    static const uint16_t scales[SLOTS] = {5 << 11 | 1033, 31 << 11 | 517, 16 << 11 | 800, 9 << 11, 20 << 11 | 1000};
    int32_t scores[2][2][SLOTS] = {{{0}}};
    struct tl_score_job job = {queries, keys, scales, NULL, 2, head_dim, SLOTS, 15, 1};
    fill(queries, sizeof queries, head_dim);
    fill(keys, sizeof keys, head_dim + 1);
    for (uint32_t turn = 0; turn < 2; turn++) {
        tl_vector_unit = turn == 1;
        job.scores = scores[turn][0];
        tl_score_rows(&job, 0, SLOTS);
    }
    return memcmp(scores[0], scores[1], sizeof scores[0]) == 0;
}

__attribute__((weak)) bool tl_int4_rows_agree(void) {
    return true;
}

bool tl_kernels_start(void) {
    bool agree = true;
    for (uint32_t columns = 16; columns <= LONGEST; columns += 16) agree = rows_agree(columns) && agree;
    for (uint32_t head_dim = 8; head_dim <= 32; head_dim *= 2) agree = scores_agree(head_dim) && agree;
    agree = tl_int4_rows_agree() && agree;
    tl_vector_unit = agree;
    return agree;
}
