/* Two tokens from one multiplication; the codes of two rows are loaded once for two such pairs of tokens.
 *
 * A word of the inputs is X = a + 2^16 b, the codes of two tokens in one column. u has the codes of a row in four
 * columns, four bits each. With the words X0 to X3 of these columns
 *
 *     P = u X0 + (u >> 4) (X1 - 16 X0) + (u >> 8) (X2 - 16 X1) + (u >> 12) (X3 - 16 X2)    modulo 2^32
 *
 * has in each half what is added to one token's sum. As in dot_groups_int4.c, its sum over the columns of a scale fits
 * 16 bits, and starts at -8 times that of the inputs.
 */
#include <stddef.h>

#include "kernels.h"

#define TOKENS_AT_ONCE 4u
#define PAIRS (TOKENS_AT_ONCE / 2u)
#define BIAS 8u
#define QUAD_BYTES 16u /* of a group */
#define START_WORDS 3u

/* Three words are before the columns of a scale: the start values of the sums of both pairs of tokens, and how many
 * quads of columns are missing to 32 columns. Each column has a word for each pair. */
TL_HOT static void expand_four_int4(const int8_t *codes, uint32_t stride, uint32_t n, uint8_t *inputs) {
    uint32_t *words = (uint32_t *)(void *)inputs;
    for (uint32_t begin = 0; begin < n; begin += TL_SCALE_COLUMNS) {
        const uint32_t columns = n - begin < TL_SCALE_COLUMNS ? n - begin : TL_SCALE_COLUMNS;
        const uint32_t quads = TL_QUADS(columns);
        words[PAIRS] = TL_QUADS_OF_A_SCALE - quads;
        for (uint32_t pair = 0; pair < PAIRS; pair++) {
            const int8_t *token = codes + (size_t)(2u * pair) * stride + begin;
            uint32_t *word = words + START_WORDS + pair, sum = 0, last = 0;
            for (uint32_t i = 0; i < quads * TL_QUAD_COLUMNS; i++, word += PAIRS) {
                const uint32_t x = i < columns ? (uint32_t)token[i] + ((uint32_t)token[stride + i] << 16) : 0;
                sum += x;
                *word = i % TL_QUAD_COLUMNS == 0 ? x : x - (last << 4);
                last = x;
            }
            words[pair] = 0u - BIAS * sum;
        }
        words += START_WORDS + PAIRS * TL_QUAD_COLUMNS * quads;
    }
}

static inline uint32_t input_words(uint32_t columns) {
    return TL_QUADS(columns) * TL_QUAD_COLUMNS * PAIRS + TL_SCALES(columns) * START_WORDS;
}

TL_HOT void tl_expand_tokens_int4(const int8_t *codes, uint32_t stride, uint32_t tokens, uint32_t n, uint8_t *inputs) {
    for (; tokens >= TOKENS_AT_ONCE; tokens -= TOKENS_AT_ONCE) {
        expand_four_int4(codes, stride, n, inputs);
        codes += TOKENS_AT_ONCE * stride;
        inputs += TOKENS_AT_ONCE * TL_INT4_INPUT_BYTES(n);
    }
    for (; tokens > 0; tokens--, codes += stride, inputs += TL_INT4_INPUT_BYTES(n)) tl_expand_int4(codes, n, inputs);
}

/* Operands of the assembly: two neighbouring rows of each group. */
struct rows {
    const uint8_t *weights; /* of the first group */
    const uint8_t *inputs, *inputs_end;
    int32_t *sums, *sums_end; /* of the first token; every eighth one is the first row's */
    uint32_t stride;          /* bytes from a token's sums to the next token's */
    uint32_t scales;          /* bytes from these rows' word in the first of eight quads to their scales */
    uint32_t group_bytes;
    uint32_t r7;          /* saved here, because the compiler may not give it up */
    const uint8_t *input; /* the next word of the inputs */
};

#if defined(__GNUC__) && defined(__ARM_ARCH_6M__)

/* r0 to r3: words of two columns. r4, r5: u of the upper and the lower row. r6: inputs. r7: scratch. r8, r9: sums of P
 * of the lower row, for the first two tokens and the others; r10, r11: of the upper row. r12: address of the rows' word
 * in the first of eight quads. lr: struct rows. */
#define COLUMN(first, second, shift)                                                                                   \
    "lsrs r7, r5, #" shift "\n"                                                                                        \
    "muls r7, " first "\n"                                                                                             \
    "add r8, r7\n"                                                                                                     \
    "lsrs r7, r5, #" shift "\n"                                                                                        \
    "muls r7, " second "\n"                                                                                            \
    "add r9, r7\n"                                                                                                     \
    "lsrs r7, r4, #" shift "\n"                                                                                        \
    "muls " first ", r7\n"                                                                                             \
    "add r10, " first "\n"                                                                                             \
    "muls " second ", r7\n"                                                                                            \
    "add r11, " second "\n"
#define FIRST_COLUMN                                                                                                   \
    "mov r7, r5\n"                                                                                                     \
    "muls r7, r0\n"                                                                                                    \
    "add r8, r7\n"                                                                                                     \
    "mov r7, r5\n"                                                                                                     \
    "muls r7, r1\n"                                                                                                    \
    "add r9, r7\n"                                                                                                     \
    "muls r0, r4\n"                                                                                                    \
    "add r10, r0\n"                                                                                                    \
    "muls r1, r4\n"                                                                                                    \
    "add r11, r1\n"
#define CODE_BYTES "98"
#define QUAD(at)                                                                                                       \
    "mov r7, r12\n"                                                                                                    \
    "ldr r4, [r7, #" at "]\n"                                                                                          \
    "uxth r5, r4\n"                                                                                                    \
    "lsrs r4, r4, #16\n"                                                                                               \
    "ldmia r6!, {r0, r1, r2, r3}\n" FIRST_COLUMN COLUMN("r2", "r3", "4") "ldmia r6!, {r0, r1, r2, r3}\n" COLUMN(       \
        "r0", "r1", "8") COLUMN("r2", "r3", "12")
/* TOKEN adds two rows of a token, times the scales r4 and r5, to the sums at r7. TOKENS does so for two tokens, whose
 * lower row is in r1. r8: bytes to the next token's sums. */
#define TOKEN(lower, upper)                                                                                            \
    "muls " lower ", r4\n"                                                                                             \
    "muls " upper ", r5\n"                                                                                             \
    "ldr r6, [r7]\n"                                                                                                   \
    "adds " lower ", r6\n"                                                                                             \
    "ldr r6, [r7, #4]\n"                                                                                               \
    "adds " upper ", r6\n"                                                                                             \
    "str " lower ", [r7]\n"                                                                                            \
    "str " upper ", [r7, #4]\n"
#define TOKENS(upper)                                                                                                  \
    "mov r3, " upper "\n"                                                                                              \
    "sxth r0, r1\n"                                                                                                    \
    "sxth r2, r3\n"                                                                                                    \
    "subs r1, r1, r0\n"                                                                                                \
    "subs r3, r3, r2\n"                                                                                                \
    "asrs r1, r1, #16\n"                                                                                               \
    "asrs r3, r3, #16\n" TOKEN("r0", "r2") "add r7, r8\n" TOKEN("r1", "r3")

TL_HOT static void dot_rows_of_tokens(struct rows *rows) {
    register struct rows *r0 __asm__("r0") = rows;
    __asm__ volatile(".syntax unified\n"
                     "str r7, [r0, #32]\n"
                     "mov lr, r0\n"
                     "1:\n" /* a group */
                     "ldr r1, [r0, #12]\n"
                     "ldr r2, [r0, #20]\n"
                     "movs r3, #0\n"
                     "str r3, [r1]\n"
                     "str r3, [r1, #4]\n"
                     "adds r1, r1, r2\n"
                     "str r3, [r1]\n"
                     "str r3, [r1, #4]\n"
                     "adds r1, r1, r2\n"
                     "str r3, [r1]\n"
                     "str r3, [r1, #4]\n"
                     "adds r1, r1, r2\n"
                     "str r3, [r1]\n"
                     "str r3, [r1, #4]\n"
                     "ldr r3, [r0, #0]\n"
                     "ldr r6, [r0, #4]\n"
                     "2:\n" /* the columns of a scale, whose words begin at r3 */
                     "ldmia r6!, {r0, r1, r2}\n"
                     "mov r8, r0\n"
                     "mov r9, r1\n"
                     "mov r10, r0\n"
                     "mov r11, r1\n"
                     "lsls r1, r2, #4\n"
                     "subs r3, r3, r1\n"
                     "mov r12, r3\n"
                     "movs r1, #" CODE_BYTES "\n"
                     "muls r1, r2\n"
                     "add pc, r1\n" /* skips the missing quads */
                     "nop\n" QUAD("0") QUAD("16") QUAD("32") QUAD("48") QUAD("64") QUAD("80") QUAD("96")
                         QUAD("112") "mov r0, lr\n"
                                     "str r6, [r0, #36]\n"
                                     "ldr r1, [r0, #24]\n"
                                     "add r1, r12\n"
                                     "ldrb r4, [r1, #0]\n"
                                     "ldrb r5, [r1, #1]\n"
                                     "ldr r7, [r0, #12]\n"
                                     "ldr r2, [r0, #20]\n"
                                     "mov r1, r8\n"
                                     "mov r8, r2\n" TOKENS("r10") "add r7, r8\n"
                                                                  "mov r1, r9\n" TOKENS("r11") "mov r0, lr\n"
                                                                                               "ldr r6, [r0, #36]\n"
                                                                                               "ldr r1, [r0, #8]\n"
                                                                                               "mov r3, r12\n"
                                                                                               "adds r3, #136\n"
                                                                                               "cmp r6, r1\n"
                                                                                               "beq 3f\n"
                                                                                               "b 2b\n"
                                                                                               "3:\n"
                                                                                               "ldr r1, [r0, #0]\n"
                                                                                               "ldr r2, [r0, #28]\n"
                                                                                               "adds r1, r1, r2\n"
                                                                                               "str r1, [r0, #0]\n"
                                                                                               "ldr r1, [r0, #12]\n"
                                                                                               "adds r1, #32\n"
                                                                                               "str r1, [r0, #12]\n"
                                                                                               "ldr r2, [r0, #16]\n"
                                                                                               "cmp r1, r2\n"
                                                                                               "beq 4f\n"
                                                                                               "b 1b\n"
                                                                                               "4:\n"
                                                                                               "ldr r7, [r0, #32]\n"
                     : "+r"(r0)
                     :
                     : "r1", "r2", "r3", "r4", "r5", "r6", "r8", "r9", "r10", "r11", "r12", "lr", "cc", "memory");
}

#else

/* Adds P of a quad of columns to the sums of both pairs of tokens. */
static void add_quad(const uint8_t *bytes, const uint32_t *words, uint32_t *p) {
    const uint32_t u = bytes[0] | (uint32_t)bytes[1] << 8;
    for (uint32_t i = 0; i < TL_QUAD_COLUMNS; i++, words += PAIRS) {
        for (uint32_t pair = 0; pair < PAIRS; pair++) p[pair] += (u >> 4u * i) * words[pair];
    }
}

TL_HOT static void dot_rows_of_tokens(struct rows *rows) {
    const uint32_t stride = rows->stride / (uint32_t)sizeof *rows->sums;
    for (; rows->sums < rows->sums_end; rows->sums += TL_INT4_GROUP_ROWS, rows->weights += rows->group_bytes) {
        for (uint32_t row = 0; row < 2u; row++) {
            int32_t *const sums = rows->sums + row;
            for (uint32_t t = 0; t < TOKENS_AT_ONCE; t++) sums[t * stride] = 0;
            const uint8_t *bytes = rows->weights; /* the next quad */
            const uint32_t *words = (const uint32_t *)(const void *)rows->inputs;
            while (words < (const uint32_t *)(const void *)rows->inputs_end) {
                uint32_t p[PAIRS] = {words[0], words[1]};
                const uint32_t quads = TL_QUADS_OF_A_SCALE - words[PAIRS];
                words += START_WORDS;
                for (uint32_t i = 0; i < quads; i++, bytes += QUAD_BYTES, words += TL_QUAD_COLUMNS * PAIRS) {
                    add_quad(bytes + 2u * row, words, p);
                }
                const int32_t scale = *(bytes - QUAD_BYTES * TL_QUADS_OF_A_SCALE + rows->scales + row);
                for (uint32_t pair = 0; pair < PAIRS; pair++) {
                    const int32_t lower = (int16_t)p[pair];
                    sums[2u * pair * stride] += lower * scale;
                    sums[(2u * pair + 1u) * stride] += ((int32_t)(p[pair] - (uint32_t)lower) >> 16) * scale;
                }
                bytes += TL_INT4_GROUP_ROWS;
            }
        }
    }
}

#endif

TL_HOT void tl_dot_tokens_int4(const struct tl_matrix *w, const uint8_t *inputs, uint32_t tokens, uint32_t first,
                               uint32_t last, int32_t *sums, uint32_t stride) {
    const uint32_t input_bytes = TL_INT4_INPUT_BYTES(w->columns);
    const uint8_t *weights = w->groups + (size_t)first * w->group_bytes;
    for (; first < last && tokens >= TOKENS_AT_ONCE; tokens -= TOKENS_AT_ONCE) {
        for (uint32_t row = 0; row < TL_INT4_GROUP_ROWS; row += 2u) {
            struct rows rows = {weights + 2u * row,
                                inputs,
                                inputs + (size_t)input_words(w->columns) * 4u,
                                sums + row,
                                sums + row + (size_t)(last - first) * TL_INT4_GROUP_ROWS,
                                stride * (uint32_t)sizeof *sums,
                                QUAD_BYTES * TL_QUADS_OF_A_SCALE - row,
                                w->group_bytes,
                                0,
                                NULL};
            dot_rows_of_tokens(&rows);
        }
        inputs += TOKENS_AT_ONCE * input_bytes;
        sums += TOKENS_AT_ONCE * (size_t)stride;
    }
    for (; tokens > 0; tokens--, inputs += input_bytes, sums += stride) {
        tl_dot_groups_int4(w, inputs, first, last, sums);
    }
}
