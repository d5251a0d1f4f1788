#include "dot_rows.h"

#include "instructions.h"
#include "vector_unit.h"

#define LANES 16u

void tl_portable_dot_rows(const int8_t *codes, uint32_t count, const int8_t *x, uint32_t columns, int32_t *sums) {
    for (; count > 0; count--, codes += columns) {
        int32_t sum = 0;
        for (uint32_t i = 0; i < columns; i++) sum += codes[i] * x[i];
        *sums++ = sum;
    }
}

#if defined(__XTENSA__)

/* One instruction does 16 multiplications and loads the next 16 codes. */

static inline int32_t read_accx(void) {
    int32_t sum;
    PIE_READ_ACCX(sum, 0u);
    return sum;
}

/* --- Rows of 1 to 6 vectors: x stays in registers 2 to 7 ---
 *
 * The rows are one stream of vectors. Registers p and r hold its next two vectors, p the first of them, so that no
 * instruction needs the result of the load just before it. TIMES_n is a row of n vectors. LAST_n is the last row, which
 * must not load beyond the codes. */

#define TIMES_1(p, r) PIE_MULTIPLY_LOAD(p, codes, p, 2);
#define TIMES_2(p, r) TIMES_1(p, r) PIE_MULTIPLY_LOAD(r, codes, r, 3);
#define TIMES_3(p, r) TIMES_2(p, r) PIE_MULTIPLY_LOAD(p, codes, p, 4);
#define TIMES_4(p, r) TIMES_3(p, r) PIE_MULTIPLY_LOAD(r, codes, r, 5);
#define TIMES_5(p, r) TIMES_4(p, r) PIE_MULTIPLY_LOAD(p, codes, p, 6);
#define TIMES_6(p, r) TIMES_5(p, r) PIE_MULTIPLY_LOAD(r, codes, r, 7);

#define LAST_2(p, r)                                                                                                   \
    PIE_MULTIPLY(p, 2);                                                                                                \
    PIE_MULTIPLY(r, 3);
#define LAST_3(p, r)                                                                                                   \
    TIMES_1(p, r) PIE_MULTIPLY(r, 3);                                                                                  \
    PIE_MULTIPLY(p, 4);
#define LAST_4(p, r)                                                                                                   \
    TIMES_2(p, r) PIE_MULTIPLY(p, 4);                                                                                  \
    PIE_MULTIPLY(r, 5);
#define LAST_5(p, r)                                                                                                   \
    TIMES_3(p, r) PIE_MULTIPLY(r, 5);                                                                                  \
    PIE_MULTIPLY(p, 6);
#define LAST_6(p, r)                                                                                                   \
    TIMES_4(p, r) PIE_MULTIPLY(p, 6);                                                                                  \
    PIE_MULTIPLY(r, 7);

#define SUM(row, p, r)                                                                                                 \
    PIE_ZERO_ACCX();                                                                                                   \
    row(p, r) *sums++ = read_accx();

/* After a row of an odd number of vectors the next vector is in the other register: every second row uses p and r. */
#define ROWS(n, p, r)                                                                                                  \
    static void rows_of_##n(const int8_t *codes, uint32_t count, int32_t *sums) {                                      \
        PIE_LOAD(0, codes);                                                                                            \
        PIE_LOAD(1, codes);                                                                                            \
        for (; count > 2; count -= 2) {                                                                                \
            SUM(TIMES_##n, 0, 1)                                                                                       \
            SUM(TIMES_##n, p, r)                                                                                       \
        }                                                                                                              \
        if (count == 1) {                                                                                              \
            SUM(LAST_##n, 0, 1)                                                                                        \
        } else {                                                                                                       \
            SUM(TIMES_##n, 0, 1)                                                                                       \
            SUM(LAST_##n, p, r)                                                                                        \
        }                                                                                                              \
    }

ROWS(2, 0, 1)
ROWS(3, 1, 0)
ROWS(4, 0, 1)
ROWS(5, 1, 0)
ROWS(6, 0, 1)

static void rows_of_1(const int8_t *codes, uint32_t count, int32_t *sums) {
    PIE_LOAD(0, codes);
    for (; count > 1; count--) {
        SUM(TIMES_1, 0, 0)
    }
    PIE_ZERO_ACCX();
    PIE_MULTIPLY(0, 2);
    *sums = read_accx();
}

/* --- Longer rows: registers 4 to 7 keep the first four vectors of x; the others are loaded for each row --- */

#define KEPT 4u

static void rows_of_many(const int8_t *codes, uint32_t count, const int8_t *x, uint32_t vectors, int32_t *sums) {
    for (; count > 0; count--) {
        const int8_t *rest = x + KEPT * LANES;
        PIE_ZERO_ACCX();
        PIE_LOAD(0, codes);
        PIE_LOAD(1, codes);
        PIE_MULTIPLY_LOAD(0, codes, 0, 4);
        PIE_MULTIPLY_LOAD(1, codes, 1, 5);
        PIE_LOAD(2, rest);
        PIE_LOAD(3, rest);
        PIE_MULTIPLY_LOAD(0, codes, 0, 6);
        PIE_MULTIPLY_LOAD(1, codes, 1, 7);
        uint32_t left = vectors - KEPT; /* registers 0 and 1 have the next two vectors of the row, 2 and 3 of x */
        for (; left > 3; left -= 2) {
            PIE_MULTIPLY_LOAD(0, codes, 0, 2);
            PIE_LOAD(2, rest);
            PIE_MULTIPLY_LOAD(1, codes, 1, 3);
            PIE_LOAD(3, rest);
        }
        if (left == 3) {
            PIE_MULTIPLY_LOAD(0, codes, 0, 2);
            PIE_LOAD(2, rest);
            PIE_MULTIPLY(1, 3);
            PIE_MULTIPLY(0, 2);
        } else {
            PIE_MULTIPLY(0, 2);
            PIE_MULTIPLY(1, 3);
        }
        *sums++ = read_accx();
    }
}

static void vector(const int8_t *codes, uint32_t count, const int8_t *x, uint32_t columns, int32_t *sums) {
    const uint32_t vectors = columns / LANES;
    const int8_t *next = x;
    if (vectors > 6) {
        PIE_LOAD(4, next);
        PIE_LOAD(5, next);
        PIE_LOAD(6, next);
        PIE_LOAD(7, next);
        rows_of_many(codes, count, x, vectors, sums);
        return;
    }
    PIE_LOAD(2, next);
    if (vectors > 1) PIE_LOAD(3, next);
    if (vectors > 2) PIE_LOAD(4, next);
    if (vectors > 3) PIE_LOAD(5, next);
    if (vectors > 4) PIE_LOAD(6, next);
    if (vectors > 5) PIE_LOAD(7, next);
    switch (vectors) {
    case 1:
        rows_of_1(codes, count, sums);
        break;
    case 2:
        rows_of_2(codes, count, sums);
        break;
    case 3:
        rows_of_3(codes, count, sums);
        break;
    case 4:
        rows_of_4(codes, count, sums);
        break;
    case 5:
        rows_of_5(codes, count, sums);
        break;
    default:
        rows_of_6(codes, count, sums);
        break;
    }
}

#endif

void tl_dot_rows(const int8_t *codes, uint32_t count, const int8_t *x, uint32_t columns, int32_t *sums) {
#if defined(__XTENSA__)
    if (tl_vector_unit) {
        vector(codes, count, x, columns, sums);
        return;
    }
#endif
    tl_portable_dot_rows(codes, count, x, columns, sums);
}
