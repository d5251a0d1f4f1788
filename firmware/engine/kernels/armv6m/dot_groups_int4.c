/* Two products from one multiplication; three instructions and one mask give all operands.
 *
 * A word of a group is V = A + 16 B + 256 C + 4096 D: A has the codes of two rows in one column, one in each half; B, C
 * and D have those in the next columns. Swapping the bytes of both halves gives V' = C + 16 D + 256 A + 4096 B. Without
 * the lower codes V is T = B + 256 D, and swapped T' = D + 256 B. For the inputs x0 to x3 of these columns
 *
 *     P = A x0 + B x1 + C x2 + D x3 = V p + V' q + T r + T' s    modulo 2^32
 *
 * if p + 256 q = x0, 256 p + q = x2, r + 256 s = x1 - 16 x0 and 256 r + s = x3 - 16 x2, which can be solved because
 * 1 - 2^16 has the inverse 1 + 2^16. Each half of the sum of P over the columns of a scale is the sum of one row, which
 * fits 16 bits: 32 * 8 * 127 < 2^15. The codes are biased by 8, so the sum starts at -8 times that of the inputs.
 */
#include <stddef.h>

#include "kernels.h"

#define BOTH 0x00010001u /* times a code: the code in both halves */
#define LOWER_CODES 0x0F0F0F0Fu
#define BIAS 8u

/* A code in both halves: the code times the inverse of 1 - 2^16. */
static inline uint32_t in_both(int8_t code) {
    return (uint32_t)code * BOTH;
}

/* Writes p, q, r and s of four inputs. Returns their sum, in both halves. */
static inline uint32_t expand_quad(const int8_t *codes, uint32_t *words) {
    const uint32_t x0 = in_both(codes[0]), x1 = in_both(codes[1]), x2 = in_both(codes[2]), x3 = in_both(codes[3]);
    const uint32_t y1 = x1 - (x0 << 4), y3 = x3 - (x2 << 4);
    words[0] = x0 - (x2 << 8);
    words[1] = x2 - (x0 << 8);
    words[2] = y1 - (y3 << 8);
    words[3] = y3 - (y1 << 8);
    return x0 + x1 + x2 + x3;
}

/* Two words are before the columns of a scale: the start value of both rows' sums, and how many quads of columns are
 * missing to 32 columns. */
TL_HOT void tl_expand_int4(const int8_t *codes, uint32_t n, uint8_t *input) {
    uint32_t *words = (uint32_t *)(void *)input;
    for (uint32_t columns; n > 0; n -= columns) {
        columns = n < TL_SCALE_COLUMNS ? n : TL_SCALE_COLUMNS;
        uint32_t *const start = words;
        uint32_t sum = 0;
        words += 2;
        const uint32_t *const whole = words + (columns & ~(TL_QUAD_COLUMNS - 1u)); /* a word a column */
        for (; words < whole; words += TL_QUAD_COLUMNS, codes += TL_QUAD_COLUMNS) sum += expand_quad(codes, words);
        const uint32_t rest = columns % TL_QUAD_COLUMNS;
        if (rest > 0) {
            int8_t last[TL_QUAD_COLUMNS] = {0};
            for (uint32_t i = 0; i < rest; i++) last[i] = codes[i];
            sum += expand_quad(last, words);
            words += TL_QUAD_COLUMNS;
        }
        start[0] = 0u - BIAS * sum;
        start[1] = TL_QUADS_OF_A_SCALE - TL_QUADS(columns);
    }
}

static inline uint32_t input_words(uint32_t columns) {
    return TL_QUADS(columns) * TL_QUAD_COLUMNS + TL_SCALES(columns) * 2u;
}

#if defined(__GNUC__) && defined(__ARM_ARCH_6M__)

/* Operands that have no register in the loop below. */
struct quads {
    const uint8_t *groups;
    const uint8_t *input, *input_end;
    int32_t *sums, *sums_end;
    uint32_t mask;
    uint32_t padding;         /* bytes between two groups */
    uint32_t r7;              /* saved here, because the compiler may not give it up */
    const uint8_t *first_end; /* end of the input's columns with the first scale */
};

/* r0 to r3: the words of a quad of the input, p, q, r, s. r4, r5: operands. r6: groups. r7: the mask. r8 to r11: sums
 * of P, of two rows each. r12: input. lr: struct quads. */
#define ROWS(sum)                                                                                                      \
    "ldmia r6!, {r4}\n"                                                                                                \
    "rev16 r5, r4\n"                                                                                                   \
    "muls r5, r1\n"                                                                                                    \
    "add " sum ", r5\n"                                                                                                \
    "lsrs r5, r4, #4\n"                                                                                                \
    "muls r4, r0\n"                                                                                                    \
    "add " sum ", r4\n"                                                                                                \
    "ands r5, r7\n"                                                                                                    \
    "rev16 r4, r5\n"                                                                                                   \
    "muls r5, r2\n"                                                                                                    \
    "add " sum ", r5\n"                                                                                                \
    "muls r4, r3\n"                                                                                                    \
    "add " sum ", r4\n"
#define QUAD_BYTES "110"
#define QUAD                                                                                                           \
    "mov r4, r12\n"                                                                                                    \
    "ldmia r4!, {r0, r1, r2, r3}\n"                                                                                    \
    "mov r12, r4\n" ROWS("r8") ROWS("r9") ROWS("r10") ROWS("r11")
#define EIGHT_QUADS QUAD QUAD QUAD QUAD QUAD QUAD QUAD QUAD
/* What the columns of a scale add to two rows' sums: r2 and r3. */
#define GAIN(sum, lower, upper)                                                                                        \
    "mov r3, " sum "\n"                                                                                                \
    "sxth r2, r3\n"                                                                                                    \
    "subs r3, r3, r2\n"                                                                                                \
    "asrs r3, r3, #16\n"                                                                                               \
    "ldrb r7, [r6, #" lower "]\n"                                                                                      \
    "muls r2, r7\n"                                                                                                    \
    "ldrb r7, [r6, #" upper "]\n"                                                                                      \
    "muls r3, r7\n"
#define FIRST(sum, lower, upper) GAIN(sum, lower, upper) "stmia r5!, {r2, r3}\n"
#define NEXT(sum, lower, upper)                                                                                        \
    GAIN(sum, lower, upper)                                                                                            \
    "ldmia r0!, {r1, r4}\n"                                                                                            \
    "adds r2, r2, r1\n"                                                                                                \
    "adds r3, r3, r4\n"                                                                                                \
    "stmia r5!, {r2, r3}\n"
#define FIRST_SCALE FIRST("r8", "0", "1") FIRST("r9", "2", "3") FIRST("r10", "4", "5") FIRST("r11", "6", "7")
#define NEXT_SCALE NEXT("r8", "0", "1") NEXT("r9", "2", "3") NEXT("r10", "4", "5") NEXT("r11", "6", "7")

TL_HOT static void dot_quads(struct quads *job) {
    register struct quads *r0 __asm__("r0") = job;
    __asm__ volatile(".syntax unified\n"
                     "str r7, [r0, #28]\n"
                     "mov lr, r0\n"
                     "ldr r6, [r0, #0]\n"
                     "1:\n" /* a group */
                     "ldr r4, [r0, #4]\n"
                     "2:\n" /* the columns of a scale */
                     "ldr r7, [r0, #20]\n"
                     "ldmia r4!, {r0, r1}\n"
                     "mov r12, r4\n"
                     "mov r8, r0\n"
                     "mov r9, r0\n"
                     "mov r10, r0\n"
                     "mov r11, r0\n"
                     "movs r2, #" QUAD_BYTES "\n"
                     "muls r1, r2\n"
                     "add pc, r1\n" /* skips the missing quads */
                     "nop\n" EIGHT_QUADS "mov r0, lr\n"
                     "ldr r5, [r0, #12]\n"
                     "ldr r1, [r0, #32]\n"
                     "cmp r1, r12\n"
                     "bne 3f\n" FIRST_SCALE "b 4f\n"
                     "3:\n"
                     "mov r0, r5\n" NEXT_SCALE "4:\n"
                     "adds r6, #8\n"
                     "mov r0, lr\n"
                     "ldr r1, [r0, #8]\n"
                     "mov r4, r12\n"
                     "cmp r4, r1\n"
                     "beq 5f\n"
                     "b 2b\n"
                     "5:\n"
                     "ldr r1, [r0, #24]\n"
                     "adds r6, r6, r1\n"
                     "str r5, [r0, #12]\n"
                     "ldr r1, [r0, #16]\n"
                     "cmp r5, r1\n"
                     "beq 6f\n"
                     "b 1b\n"
                     "6:\n"
                     "ldr r7, [r0, #28]\n"
                     : "+r"(r0)
                     :
                     : "r1", "r2", "r3", "r4", "r5", "r6", "r8", "r9", "r10", "r11", "r12", "lr", "cc", "memory");
}

TL_HOT void tl_dot_groups_int4(const struct tl_matrix *w, const uint8_t *input, uint32_t first, uint32_t last,
                               int32_t *sums) {
    const uint32_t columns = w->columns;
    struct quads job = {w->groups + (size_t)first * w->group_bytes,
                        input,
                        input + (size_t)input_words(columns) * 4u,
                        sums,
                        sums + (size_t)(last - first) * TL_INT4_GROUP_ROWS,
                        LOWER_CODES,
                        w->group_bytes - TL_QUADS(columns) * 16u - TL_SCALES(columns) * TL_INT4_GROUP_ROWS,
                        0,
                        input + (size_t)input_words(columns < TL_SCALE_COLUMNS ? columns : TL_SCALE_COLUMNS) * 4u};
    if (first < last) dot_quads(&job);
}

#else

static inline uint32_t swapped(uint32_t word) {
    return (word >> 8 & 0x00FF00FFu) | (word & 0x00FF00FFu) << 8;
}

/* P of two rows. */
static uint32_t dot_quad(uint32_t word, const uint32_t *x) {
    const uint32_t upper = word >> 4 & LOWER_CODES;
    return word * x[0] + swapped(word) * x[1] + upper * x[2] + swapped(upper) * x[3];
}

TL_HOT void tl_dot_groups_int4(const struct tl_matrix *w, const uint8_t *input, uint32_t first, uint32_t last,
                               int32_t *sums) {
    const uint32_t *const begin = (const uint32_t *)(const void *)input, *const end = begin + input_words(w->columns);
    for (uint32_t group = first; group < last; group++, sums += TL_INT4_GROUP_ROWS) {
        const uint8_t *bytes = w->groups + (size_t)group * w->group_bytes;
        for (uint32_t row = 0; row < TL_INT4_GROUP_ROWS; row++) sums[row] = 0;
        for (const uint32_t *x = begin; x < end;) {
            uint32_t p[TL_INT4_GROUP_ROWS / 2u] = {x[0], x[0], x[0], x[0]};
            const uint32_t quads = TL_QUADS_OF_A_SCALE - x[1];
            x += 2;
            for (uint32_t i = 0; i < quads; i++, x += TL_QUAD_COLUMNS) {
                for (uint32_t pair = 0; pair < TL_INT4_GROUP_ROWS / 2u; pair++, bytes += 4) {
                    p[pair] += dot_quad(*(const uint32_t *)(const void *)bytes, x);
                }
            }
            for (uint32_t row = 0; row < TL_INT4_GROUP_ROWS; row += 2u) {
                const int32_t lower = (int16_t)p[row / 2u];
                sums[row] += lower * *bytes++;
                sums[row + 1u] += ((int32_t)(p[row / 2u] - (uint32_t)lower) >> 16) * *bytes++;
            }
        }
    }
}

#endif

TL_HOT int32_t tl_code_int4(const struct tl_matrix *w, uint32_t row, uint32_t column) {
    const uint8_t *group = w->groups + (size_t)(row / TL_INT4_GROUP_ROWS) * w->group_bytes;
    const uint32_t within = row % TL_INT4_GROUP_ROWS, scale = column / TL_SCALE_COLUMNS;
    const uint32_t end = (scale + 1u) * TL_SCALE_COLUMNS; /* end of the columns with this scale */
    const uint8_t *scales = group + scale * TL_INT4_GROUP_ROWS;
    const uint8_t byte = scales[column / TL_QUAD_COLUMNS * 16u + within * 2u + column % TL_QUAD_COLUMNS / 2u];
    scales += TL_QUADS(end < w->columns ? end : w->columns) * 16u;
    return ((byte >> column % 2u * 4u & 15) - (int32_t)BIAS) * scales[within];
}
