/* A row's words are multiplied by the inputs of up to five tokens, as in dot_tokens.c. */
#include <stddef.h>

#include "dot.h"
#include "dot_int4.h"
#include "tokens.h"

TL_HOT void tl_expand_tokens_int4(const int8_t *codes, uint32_t stride, uint32_t tokens, uint32_t n, uint8_t *inputs) {
    for (uint32_t now; tokens > 0; tokens -= now, inputs += now * TL_INT4_INPUT_BYTES(n)) {
        now = at_once(tokens);
        for (uint32_t t = 0; t < now; t++, codes += stride) expand_int4(codes, n, now, inputs + 4u * t);
    }
}

/* Operands of the assembly: one row of each four, over the columns of 1 to MOST_SCALES scales. */
struct rows {
    const uint8_t *weights, *input_end;
    int32_t scale; /* bytes from the end of the row's words of 32 columns to its scale */
    const uint8_t *input;
    uint32_t cut; /* 1: the first scale has 16 columns; 0: it has 32 */
    int32_t *sums;
    uint32_t stride; /* bytes from a token's sums to the next token's */
    int32_t *end;    /* of the first token's sums */
};

#if defined(TL_DSP)

/* A unit: a word of a row times the inputs. r11: bytes or codes of the word. */
#define WORD "ldr r10, [r12], #16\n"
#define BYTES                                                                                                          \
    "sxtb16 r11, r10, ror #8\n"                                                                                        \
    "and r10, r10, " LOW_CODES "\n"
#define CODES "and r11, r11, " LOW_CODES "\n"
#define HALF(tokens) WORD TIMES_##tokens(ADD, BYTES, CODES) WORD TIMES_##tokens(ADD, BYTES, CODES)

/* At the end: totals from r5 on, r1 is the pointer to sums, r2 the stride, r4 their sum. */
#define TOTAL(total, sum) "mla " total ", " sum ", r11, " total "\n"
#define SHIFT(total) "asrs " total ", " total ", #4\n"
#define STORE_0 "str r5, [r1], #16\n"
#define STORE_1 "str r6, [r1, r2]\n"
#define STORE_2 "str.w r7, [r1, r2, lsl #1]\n"
#define STORE_3                                                                                                        \
    "add r4, r1, r2\n"                                                                                                 \
    "str.w r8, [r4, r2, lsl #1]\n"
#define STORE_4 "str.w r9, [r1, r2, lsl #2]\n"

/* The stack has the totals of the tokens, then struct rows from input_end on. */
#define GIVEN(tokens, bytes) "[sp, #4*" #tokens "+" #bytes "]\n"
#define BEGIN(tokens, sums, zeros)                                                                                     \
    "ldmia.w r0, {r0, r1, r2, r3, r4, r5, r6, r7}\n"                                                                   \
    "mov r12, r0\n"                                                                                                    \
    "push {r1, r2, r3, r4, r5, r6, r7}\n"                                                                              \
    "sub sp, #4*" #tokens "\n"                                                                                         \
    "1:\n" /* a row of four */                                                                                         \
    "ldrd lr, r5, " GIVEN(tokens, 8) "movs r4, #0\n" zeros "cbz r5, 2f\n" BEGIN_SUMS(sums) "b.w 3f\n"
#define BEGIN_SUMS(sums) "ldmia.w lr!, {" sums "}\n"
#define ADD_TO_TOTALS(totals, add)                                                                                     \
    "ldmia.w sp, {" totals ", r10, r11}\n"                                                                             \
    "ldrb r11, [r12, r11]\n"                                                                                           \
    "add r12, r12, #4\n" add "stmia.w sp, {" totals "}\n"                                                              \
    "cmp r10, lr\n"                                                                                                    \
    "bne.w 2b\n"
#define END(tokens, shift, store)                                                                                      \
    "ldrd r1, r2, " GIVEN(tokens, 16) "ldr r3, " GIVEN(tokens, 24) shift store                                         \
        "str r1, " GIVEN(tokens, 16) "cmp r1, r3\n"                                                                    \
                                     "bne.w 1b\n"                                                                      \
                                     "add sp, #4*" #tokens "+28\n"
#define DEFINE_DOT(tokens, sums, totals)                                                                               \
    static void dot_##tokens(const struct rows *rows) {                                                                \
        register const struct rows *given __asm__("r0") = rows;                                                        \
        __asm__ volatile(BEGIN(tokens, sums, ZEROS_##tokens) "2:\n" BEGIN_SUMS(sums) HALF(tokens) "3:\n" HALF(tokens)  \
                             ADD_TO_TOTALS(totals, ADD_##tokens) END(tokens, SHIFT_##tokens, STORE_##tokens##_TOKENS)  \
                         : "+r"(given)                                                                                 \
                         :                                                                                             \
                         : ALL_BUT_R0);                                                                                \
    }

#define ZEROS_2 "strd r4, r4, [sp]\n"
#define ZEROS_3 ZEROS_2 "str r4, [sp, #8]\n"
#define ZEROS_4 ZEROS_2 "strd r4, r4, [sp, #8]\n"
#define ZEROS_5 ZEROS_4 "str r4, [sp, #16]\n"
#define ADD_2 TOTAL("r5", "r0") TOTAL("r6", "r1")
#define ADD_3 ADD_2 TOTAL("r7", "r2")
#define ADD_4 ADD_3 TOTAL("r8", "r3")
#define ADD_5 ADD_4 TOTAL("r9", "r4")
#define SHIFT_2 SHIFT("r5") SHIFT("r6")
#define SHIFT_3 SHIFT_2 SHIFT("r7")
#define SHIFT_4 SHIFT_3 SHIFT("r8")
#define SHIFT_5 SHIFT_4 SHIFT("r9")

#define STORE_2_TOKENS STORE_1 STORE_0
#define STORE_3_TOKENS STORE_1 STORE_2 STORE_0
#define STORE_4_TOKENS STORE_1 STORE_2 STORE_3 STORE_0
#define STORE_5_TOKENS STORE_1 STORE_2 STORE_3 STORE_4 STORE_0

/* Only five tokens run from RAM: fewer occur only at the end of a prompt. */
TL_HOT static void dot_5(const struct rows *rows);

DEFINE_DOT(2, "r0, r1", "r5, r6")
DEFINE_DOT(3, "r0, r1, r2", "r5, r6, r7")
DEFINE_DOT(4, "r0, r1, r2, r3", "r5, r6, r7, r8")
DEFINE_DOT(5, "r0, r1, r2, r3, r4", "r5, r6, r7, r8, r9")

TL_HOT static void dot_row(const struct rows *rows, uint32_t tokens) {
    static void (*const dots[])(const struct rows *rows) = {dot_2, dot_3, dot_4, dot_5};
    dots[tokens - 2u](rows);
}

#else

TL_HOT static void dot_row(const struct rows *rows, uint32_t tokens) {
    const uint8_t *w = rows->weights;
    for (int32_t *sums = rows->sums; sums != rows->end; sums += ROWS_TOGETHER) {
        int32_t totals[MOST_TOKENS] = {0};
        uint32_t halves = 2u - rows->cut;
        for (const uint8_t *input = rows->input; input < rows->input_end; halves = 2) {
            int32_t parts[MOST_TOKENS];
            for (uint32_t t = 0; t < tokens; t++, input += 4) parts[t] = (int32_t)tl_load_word(input);
            for (uint32_t unit = 0; unit < 2u * halves; unit++, input += 16u * tokens, w += 16) {
                for (uint32_t t = 0; t < tokens; t++) {
                    parts[t] = tl_add_word(tl_load_word(w), input + 4u * t, 4u * tokens, parts[t]);
                }
            }
            for (uint32_t t = 0; t < tokens; t++) totals[t] += parts[t] * w[rows->scale];
            w += ROWS_TOGETHER;
        }
        for (uint32_t t = 0; t < tokens; t++) sums[t * rows->stride / sizeof *sums] = totals[t] >> 4;
    }
}

#endif

/* sums (tokens, stride) of 2 to 5 tokens, from fours of rows over these columns. */
TL_HOT static void dot_columns(const uint8_t *weights, const uint8_t *input, uint32_t tokens, struct columns columns,
                               uint32_t fours, int32_t *sums, uint32_t stride) {
    struct rows rows = {weights,
                        input + tokens * bytes_of(columns),
                        0,
                        input,
                        columns.cut,
                        sums,
                        stride * (uint32_t)sizeof *sums,
                        sums + ROWS_TOGETHER * fours};
    for (uint32_t row = 0; row < ROWS_TOGETHER; row++, rows.weights += 4, rows.scale -= 3, rows.sums++, rows.end++) {
        dot_row(&rows, tokens);
    }
}

/* Four rows over any number of columns. */
TL_HOT static void dot_long(const uint8_t *weights, const uint8_t *input, uint32_t tokens, struct columns columns,
                            int32_t *sums, uint32_t stride) {
    int32_t part[MOST_TOKENS][ROWS_TOGETHER];
    for (uint32_t t = 0; t < tokens; t++) memset(sums + (size_t)t * stride, 0, sizeof part[t]);
    for (struct columns now, left = columns; left.scales > 0; left = behind(left, now)) {
        now = at_most(left);
        dot_columns(weights, input, tokens, now, 1, part[0], ROWS_TOGETHER);
        for (uint32_t t = 0; t < tokens; t++) {
            for (uint32_t row = 0; row < ROWS_TOGETHER; row++) sums[(size_t)t * stride + row] += part[t][row];
        }
        weights += bytes_of(now);
        input += tokens * bytes_of(now);
    }
}

TL_HOT void tl_dot_tokens_int4(const struct tl_matrix *w, const uint8_t *inputs, uint32_t tokens, uint32_t first,
                               uint32_t last, int32_t *sums, uint32_t stride) {
    const struct columns columns = columns_of(w->columns);
    const uint32_t fours = fours_of(w, first, last), input_bytes = TL_INT4_INPUT_BYTES(w->columns);
    const uint8_t *weights = w->groups + (size_t)first * w->group_bytes;
    if (fours == 0) return;
    for (uint32_t now; tokens > 0; tokens -= now, inputs += now * input_bytes, sums += (size_t)now * stride) {
        now = at_once(tokens);
        if (now == 1) {
            tl_dot_groups_int4(w, inputs, first, last, sums);
        } else if (columns.scales <= MOST_SCALES) {
            dot_columns(weights, inputs, now, columns, fours, sums, stride);
        } else {
            for (uint32_t four = 0; four < fours; four++) {
                dot_long(weights + (size_t)four * bytes_of(columns), inputs, now, columns, sums + ROWS_TOGETHER * four,
                         stride);
            }
        }
    }
}
