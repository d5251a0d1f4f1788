/* Two products from one multiplication, without a mask.
 *
 * A word of a group is V = A + 256 B: A has the codes of two rows in one column, one in each half, and B those in the
 * next column. REV16 swaps the bytes of both halves, which gives V' = B + 256 A. For the inputs x and y of these
 * columns
 *
 *     P = A x + B y = V p + V' q    modulo 2^32
 *
 * if p + 256 q = x and 256 p + q = y, which can be solved because 1 - 2^16 has the inverse 1 + 2^16. Each half of P is
 * what one row adds to its sum: two products of codes fit 16 bits, because 2 * 127 * 127 < 2^15. The codes are biased
 * by 128, so 128 (x + y) is subtracted from each half. 2^15 is added, so that the lower half is not negative. P >> 16
 * is then what the upper row adds. `all` is the sum of P, `upper` that of P >> 16; `all` minus 2^16 `upper` is the sum
 * of the lower row.
 */
#include <stddef.h>

#include "kernels.h"

#define BOTH 0x00010001u /* times a code: the code in both halves */
#define BIAS 128u
#define ROUND 0x8000u
#define PAIRS_AT_ONCE 8u /* TL_PADDED columns are a multiple of this many pairs */

static inline void expand_pair(int8_t x, int8_t y, uint32_t *words) {
    /* The code times the inverse of 1 - 2^16. */
    const uint32_t both_x = (uint32_t)x * BOTH, both_y = (uint32_t)y * BOTH;
    words[0] = both_x - (both_y << 8);
    words[1] = both_y - (both_x << 8);
    words[2] = ROUND - BIAS * (both_x + both_y);
}

TL_HOT void tl_expand(const int8_t *codes, uint32_t n, uint8_t *input) {
    uint32_t *words = (uint32_t *)(void *)input;
    uint32_t i = 0;
    for (; i + 1u < n; i += 2u, words += TL_PAIR_WORDS) expand_pair(codes[i], codes[i + 1u], words);
    for (; i < TL_PADDED(n); i += 2u, words += TL_PAIR_WORDS) expand_pair(i < n ? codes[i] : 0, 0, words);
}

#if defined(__GNUC__) && defined(__ARM_ARCH_6M__)

/* Operands that have no register in the loop below. */
struct dot {
    const uint8_t *groups;
    const uint8_t *input, *input_end;
    uint32_t all; /* its start value: minus the ROUND of all pairs */
    int32_t *sums, *sums_end;
    uint32_t r7; /* saved here, because the compiler may not give it up */
};

/* r0, r1, r2: the words of a pair of the input. r3, r7: V. r4: V'. r5: groups. r6: input. r8, r9: all and upper of rows
 * 0 and 1; r10, r11: of rows 2 and 3. r12: the input's end. lr: struct dot. */
#define ROWS(v, all, upper)                                                                                            \
    "rev16 r4, " v "\n"                                                                                                \
    "muls " v ", r0\n"                                                                                                 \
    "muls r4, r1\n"                                                                                                    \
    "adds r4, r4, " v "\n"                                                                                             \
    "adds r4, r4, r2\n"                                                                                                \
    "add " all ", r4\n"                                                                                                \
    "asrs r4, r4, #16\n"                                                                                               \
    "add " upper ", r4\n"
#define PAIR                                                                                                           \
    "ldmia r6!, {r0, r1, r2}\n"                                                                                        \
    "ldmia r5!, {r3, r7}\n" ROWS("r3", "r8", "r9") ROWS("r7", "r10", "r11")
#define EIGHT_PAIRS PAIR PAIR PAIR PAIR PAIR PAIR PAIR PAIR

TL_HOT static void dot(struct dot *job) {
    register struct dot *r0 __asm__("r0") = job;
    __asm__ volatile(".syntax unified\n"
                     "str r7, [r0, #24]\n"
                     "ldr r5, [r0, #0]\n"
                     "ldr r1, [r0, #8]\n"
                     "mov r12, r1\n"
                     "mov lr, r0\n"
                     "1:\n" /* a group */
                     "ldr r6, [r0, #4]\n"
                     "ldr r1, [r0, #12]\n"
                     "mov r8, r1\n"
                     "mov r10, r1\n"
                     "movs r1, #0\n"
                     "mov r9, r1\n"
                     "mov r11, r1\n"
                     "2:\n" /* eight pairs */
                     EIGHT_PAIRS "cmp r6, r12\n"
                     "beq 3f\n"
                     "b 2b\n"
                     "3:\n"
                     "mov r0, lr\n"
                     "ldr r6, [r0, #16]\n"
                     "mov r1, r8\n"
                     "mov r2, r9\n"
                     "lsls r3, r2, #16\n"
                     "subs r1, r1, r3\n"
                     "mov r3, r10\n"
                     "mov r4, r11\n"
                     "lsls r7, r4, #16\n"
                     "subs r3, r3, r7\n"
                     "stmia r6!, {r1, r2, r3, r4}\n"
                     "str r6, [r0, #16]\n"
                     "ldr r1, [r0, #20]\n"
                     "cmp r6, r1\n"
                     "beq 4f\n"
                     "b 1b\n"
                     "4:\n"
                     "ldr r7, [r0, #24]\n"
                     : "+r"(r0)
                     :
                     : "r1", "r2", "r3", "r4", "r5", "r6", "r8", "r9", "r10", "r11", "r12", "lr", "cc", "memory");
}

TL_HOT void tl_dot_groups(const struct tl_matrix *w, const uint8_t *input, uint32_t first, uint32_t last,
                          int32_t *sums) {
    const uint32_t pairs = TL_PADDED(w->columns) / 2u;
    struct dot job = {w->groups + (size_t)first * w->group_bytes,
                      input,
                      input + (size_t)pairs * TL_PAIR_WORDS * 4u,
                      0u - pairs * ROUND,
                      sums,
                      sums + (size_t)(last - first) * TL_GROUP_ROWS,
                      0};
    if (first < last) dot(&job);
}

#else

/* Adds a pair of columns to the sums of a word's two rows. */
static void add_pair(uint32_t word, const uint32_t *pair, uint32_t *all, int32_t *upper) {
    const uint32_t swapped = (word >> 8 & 0x00FF00FFu) | (word & 0x00FF00FFu) << 8;
    const uint32_t p = word * pair[0] + swapped * pair[1] + pair[2];
    *all += p;
    *upper += (int32_t)p >> 16;
}

TL_HOT void tl_dot_groups(const struct tl_matrix *w, const uint8_t *input, uint32_t first, uint32_t last,
                          int32_t *sums) {
    const uint32_t pairs = TL_PADDED(w->columns) / 2u;
    for (uint32_t group = first; group < last; group++, sums += TL_GROUP_ROWS) {
        const uint32_t *words = (const uint32_t *)(const void *)(w->groups + (size_t)group * w->group_bytes);
        const uint32_t *pair = (const uint32_t *)(const void *)input;
        uint32_t all[2] = {0u - pairs * ROUND, 0u - pairs * ROUND};
        int32_t upper[2] = {0, 0};
        for (uint32_t i = 0; i < pairs; i++, words += 2, pair += TL_PAIR_WORDS) {
            add_pair(words[0], pair, all, upper);
            add_pair(words[1], pair, all + 1, upper + 1);
        }
        for (uint32_t i = 0; i < 2u; i++) {
            sums[2u * i] = (int32_t)(all[i] - ((uint32_t)upper[i] << 16));
            sums[2u * i + 1u] = upper[i];
        }
    }
}

#endif

TL_HOT int32_t tl_code(const struct tl_matrix *w, uint32_t row, uint32_t column) {
    const uint8_t *group = w->groups + (size_t)(row / TL_GROUP_ROWS) * w->group_bytes;
    const uint32_t within = row % TL_GROUP_ROWS;
    return (int8_t)(group[column / 2u * 8u + within * 2u + column % 2u] - 128);
}
