#include "matmul.h"

#include <stdbool.h>
#include <string.h>

#include "parallel.h"

/* Rows whose sums are on the stack at a time, if they are to be added, or the last group has more rows than y. */
#define ROWS_AT_ONCE 32u

/* A matmul under way, static so that both cores see it. */
struct matmul {
    const struct tl_matrix *w;
    const uint8_t *input;
    struct tl_scale scale;
    int32_t *y;
    bool add;
};
static struct matmul matmul;

static void matmul_groups(const void *job, uint32_t first, uint32_t last, uint32_t core) {
    (void)core;
    const struct matmul *m = (const struct matmul *)job;
    const struct tl_matrix *w = m->w;
    const int32_t multiplier = m->scale.mantissa, right = -(w->exponent + m->scale.exponent + TL_FRACTION_BITS);
    const uint32_t whole = w->rows / TL_GROUP_ROWS; /* the last group may have more rows than y */
    if (!m->add && first < whole) {
        const uint32_t end = last < whole ? last : whole, row = first * TL_GROUP_ROWS;
        tl_dot_groups(w, m->input, first, end, m->y + row);
        tl_requantize_rows(m->y + row, w->mantissa + row, end * TL_GROUP_ROWS - row, multiplier, right);
        first = end;
    }
    int32_t sums[ROWS_AT_ONCE];
    for (uint32_t end; first < last; first = end) {
        end = last - first > ROWS_AT_ONCE / TL_GROUP_ROWS ? first + ROWS_AT_ONCE / TL_GROUP_ROWS : last;
        const uint32_t row = first * TL_GROUP_ROWS, rows_end = end <= whole ? end * TL_GROUP_ROWS : w->rows;
        const uint32_t rows = rows_end - row;
        int32_t *y = m->y + row;
        tl_dot_groups(w, m->input, first, end, sums);
        tl_requantize_rows(sums, w->mantissa + row, rows, multiplier, right);
        if (!m->add) memset(y, 0, rows * sizeof *y);
        TL_UNROLL
        for (uint32_t i = 0; i < rows; i++) y[i] = tl_add(y[i], sums[i]);
    }
}

static void run(const struct tl_matrix *w, const uint8_t *input, struct tl_scale scale, int32_t *y, bool add) {
    matmul = (struct matmul){w, input, scale, y, add};
    tl_parallel(matmul_groups, &matmul, (w->rows + TL_GROUP_ROWS - 1u) / TL_GROUP_ROWS, w->rows * w->columns);
}

void tl_matmul(const struct tl_matrix *w, const uint8_t *input, struct tl_scale scale, int32_t *y) {
    run(w, input, scale, y, false);
}

void tl_matmul_add(const struct tl_matrix *w, const uint8_t *input, struct tl_scale scale, int32_t *y) {
    run(w, input, scale, y, true);
}

void tl_matrix_row(const struct tl_matrix *w, uint32_t index, int32_t *y) {
    for (uint32_t i = 0; i < w->columns; i++) y[i] = tl_code(w, index, i);
    tl_requantize_vector(y, w->columns, w->mantissa[index], -(w->exponent + TL_FRACTION_BITS), y);
}
