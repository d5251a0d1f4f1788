/* Four rows are multiplied by an input at a time. They share its loads, and there are no registers for more sums. */
#include <stddef.h>

#include "dot.h"
#include "dot_int4.h"

TL_HOT void tl_expand_int4(const int8_t *codes, uint32_t n, uint8_t *input) {
    expand_int4(codes, n, 1, input);
}

/* Operands of the assembly: fours of rows, over the columns of 1 to MOST_SCALES scales. */
struct fours {
    const uint8_t *input_end, *input;
    uint32_t cut; /* 1: the first scale has 16 columns; 0: it has 32 */
    int32_t *sums, *sums_end;
    const uint8_t *weights;
};

#if defined(TL_DSP)

/* r0 to r3: sums of a scale's columns. r4 to r6: words of rows. r7: bytes or codes of a word. r8 to r11: words of the
 * input. r12: pointer to weights. lr: pointer to the input. The stack has the totals of the four rows, then struct
 * fours from input_end on. */
#define ROW(sum, w, begin)                                                                                             \
    "smlad " sum ", " w ", r8, " begin "\n"                                                                            \
    "sxtb16 r7, " w ", ror #8\n"                                                                                       \
    "and " w ", " w ", " LOW_CODES "\n"                                                                                \
    "smlad " sum ", r7, r10, " sum "\n"                                                                                \
    "smlad " sum ", " w ", r9, " sum "\n"                                                                              \
    "and r7, r7, " LOW_CODES "\n"                                                                                      \
    "smlad " sum ", r7, r11, " sum "\n"
#define MORE(sum, w) ROW(sum, w, sum)
/* The word before a scale's input is the start value of its sums; r3 holds it until the last of them begins. */
#define BEGUN(sum, w) ROW(sum, w, "r3")
#define BEGIN_AND_INPUT "ldmia.w lr!, {r3, r8, r9, r10, r11}\n"
#define INPUT "ldmia.w lr!, {r8, r9, r10, r11}\n"
#define THREE_WORDS "ldmia.w r12!, {r4, r5, r6}\n"
#define TWO_WORDS "ldrd r4, r5, [r12], #8\n"
/* 16 columns. */
#define HALF(input, row)                                                                                               \
    input THREE_WORDS row("r0", "r4") row("r1", "r5") row("r2", "r6") THREE_WORDS row("r3", "r4")                      \
        INPUT MORE("r0", "r5") MORE("r1", "r6") TWO_WORDS MORE("r2", "r4") MORE("r3", "r5")

#define BEGIN                                                                                                          \
    "ldmia.w r0, {r0, r1, r2, r3, r4, r12}\n"                                                                          \
    "push {r0, r1, r2, r3, r4}\n"                                                                                      \
    "sub sp, #16\n"                                                                                                    \
    "1:\n" /* four rows */                                                                                             \
    "ldrd lr, r4, [sp, #20]\n"                                                                                         \
    "movs r0, #0\n"                                                                                                    \
    "strd r0, r0, [sp]\n"                                                                                              \
    "strd r0, r0, [sp, #8]\n"                                                                                          \
    "cbz r4, 2f\n"                                                                                                     \
    "ldr r0, [lr], #4\n"                                                                                               \
    "mov r1, r0\n"                                                                                                     \
    "mov r2, r0\n"                                                                                                     \
    "mov r3, r0\n"                                                                                                     \
    "b.w 3f\n"
#define ADD_TO_TOTALS                                                                                                  \
    "ldmia.w sp, {r5, r6, r7, r8, r9}\n"                                                                               \
    "ldrb r4, [r12], #1\n"                                                                                             \
    "ldrb r10, [r12], #1\n"                                                                                            \
    "ldrb r11, [r12], #1\n"                                                                                            \
    "mla r5, r0, r4, r5\n"                                                                                             \
    "ldrb r4, [r12], #1\n"                                                                                             \
    "mla r6, r1, r10, r6\n"                                                                                            \
    "mla r7, r2, r11, r7\n"                                                                                            \
    "mla r8, r3, r4, r8\n"                                                                                             \
    "stmia.w sp, {r5, r6, r7, r8}\n"                                                                                   \
    "cmp r9, lr\n"                                                                                                     \
    "bne.w 2b\n"
#define END                                                                                                            \
    "ldrd r1, r2, [sp, #28]\n"                                                                                         \
    "asrs r5, r5, #4\n"                                                                                                \
    "asrs r6, r6, #4\n"                                                                                                \
    "asrs r7, r7, #4\n"                                                                                                \
    "asrs r8, r8, #4\n"                                                                                                \
    "stmia r1!, {r5, r6, r7, r8}\n"                                                                                    \
    "str r1, [sp, #28]\n"                                                                                              \
    "cmp r1, r2\n"                                                                                                     \
    "bne.w 1b\n"                                                                                                       \
    "add sp, #36\n"

TL_HOT static void dot_fours(const struct fours *fours) {
    register const struct fours *given __asm__("r0") = fours;
    __asm__ volatile(BEGIN "2:\n" /* a scale */
                     HALF(BEGIN_AND_INPUT, BEGUN) "3:\n" HALF(INPUT, MORE) ADD_TO_TOTALS END
                     : "+r"(given)
                     :
                     : ALL_BUT_R0);
}

#else

TL_HOT static void dot_fours(const struct fours *fours) {
    const uint8_t *w = fours->weights;
    for (int32_t *sums = fours->sums; sums != fours->sums_end; sums += ROWS_TOGETHER) {
        int32_t totals[ROWS_TOGETHER] = {0};
        uint32_t halves = 2u - fours->cut;
        for (const uint8_t *input = fours->input; input < fours->input_end; halves = 2) {
            const int32_t begin = (int32_t)tl_load_word(input);
            int32_t parts[ROWS_TOGETHER] = {begin, begin, begin, begin};
            input += 4;
            for (uint32_t unit = 0; unit < 2u * halves; unit++, input += 16) {
                for (uint32_t row = 0; row < ROWS_TOGETHER; row++, w += 4) {
                    parts[row] = tl_add_word(tl_load_word(w), input, 4, parts[row]);
                }
            }
            for (uint32_t row = 0; row < ROWS_TOGETHER; row++) totals[row] += parts[row] * *w++;
        }
        for (uint32_t row = 0; row < ROWS_TOGETHER; row++) sums[row] = totals[row] >> 4;
    }
}

#endif

/* sums (4 * fours,) of rows over these columns. If these are not all columns of a row, fours must be 1. */
TL_HOT static void dot_columns(const uint8_t *weights, const uint8_t *input, struct columns columns, uint32_t fours,
                               int32_t *sums) {
    const struct fours given = {input + bytes_of(columns),    input,  columns.cut, sums,
                                sums + ROWS_TOGETHER * fours, weights};
    dot_fours(&given);
}

TL_HOT void tl_dot_groups_int4(const struct tl_matrix *w, const uint8_t *input, uint32_t first, uint32_t last,
                               int32_t *sums) {
    const struct columns columns = columns_of(w->columns);
    const uint8_t *weights = w->groups + (size_t)first * w->group_bytes;
    uint32_t fours = fours_of(w, first, last);
    if (fours == 0) return;
    if (columns.scales <= MOST_SCALES) {
        dot_columns(weights, input, columns, fours, sums);
        return;
    }
    for (; fours > 0; fours--, sums += ROWS_TOGETHER) {
        const uint8_t *x = input;
        for (uint32_t row = 0; row < ROWS_TOGETHER; row++) sums[row] = 0;
        for (struct columns now, left = columns; left.scales > 0; left = behind(left, now)) {
            int32_t part[ROWS_TOGETHER];
            now = at_most(left);
            dot_columns(weights, x, now, 1, part);
            for (uint32_t row = 0; row < ROWS_TOGETHER; row++) sums[row] += part[row];
            weights += bytes_of(now);
            x += bytes_of(now);
        }
    }
}

TL_HOT int32_t tl_code_int4(const struct tl_matrix *w, uint32_t row, uint32_t column) {
    const struct columns columns = columns_of(w->columns), first = {1, columns.cut};
    const uint32_t index = column / TL_SCALE_COLUMNS, unit = column % TL_SCALE_COLUMNS / WORD_COLUMNS;
    const bool is_first = index == columns.scales - 1u;
    const uint8_t *four = w->groups + (size_t)(row / ROWS_TOGETHER) * bytes_of(columns);
    const uint8_t *words = is_first ? four : four + bytes_of(first) + index * SCALE_BYTES;
    const uint8_t *scales = words + (is_first ? bytes_of(first) : SCALE_BYTES) - ROWS_TOGETHER;
    /* A word has columns 0, 1, 4, 5, 2, 3, 6 and 7 from the lowest bits on; all but 5 and 7 have 8 added. */
    const uint32_t place = (column & 1u) | (column & 2u) << 1 | (column & 4u) >> 1;
    const uint32_t word = tl_load_word(words + (unit * ROWS_TOGETHER + row % ROWS_TOGETHER) * 4u) ^ 0x08880888u;
    return ((int32_t)((word >> 4u * place & 15u) ^ 8u) - 8) * scales[row % ROWS_TOGETHER];
}
