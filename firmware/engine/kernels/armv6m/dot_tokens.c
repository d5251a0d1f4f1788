/* Two tokens from one multiplication; a row's codes are loaded once for two such pairs of tokens.
 *
 * A word of the inputs is X = a + 2^16 b, the codes of two tokens in one column; X' is that of the next column. A half
 * of a group's word has the codes w0 and w1 of a row in two columns, each plus 128: u = h + BIAS, h = w0 + 256 w1. With
 * the words X and Z = X' - 256 X of these columns
 *
 *     P = w0 X + w1 X' = h X + w1 Z    modulo 2^32
 *
 * has in each half what is added to one token's sum: two products of codes fit 16 bits, because 2 * 127 * 127 < 2^15.
 * `all` is the sum of P and `upper` that of its upper half, to nearest; `all` minus 2^16 `upper` is the sum of the
 * lower half.
 */
#include <stddef.h>

#include "kernels.h"

#define TOKENS_AT_ONCE 4u
#define COLUMN_BYTES (TOKENS_AT_ONCE * 2u) /* of the inputs of four tokens */
#define BIAS 0x8080u

/* For every two columns: X and Z of the first pair of tokens, then X and Z of the second pair. */
TL_HOT static void expand_four(const int8_t *codes, uint32_t stride, uint32_t n, uint8_t *inputs) {
    uint32_t *words = (uint32_t *)(void *)inputs;
    for (uint32_t i = 0; i < n; i += 2u) {
        const int8_t *token = codes + i;
        for (uint32_t pair = 0; pair < TOKENS_AT_ONCE / 2u; pair++, token += 2u * stride, words += 2) {
            const uint32_t x = (uint32_t)token[0] + ((uint32_t)token[stride] << 16);
            const uint32_t next = i + 1u < n ? (uint32_t)token[1] + ((uint32_t)token[stride + 1u] << 16) : 0;
            words[0] = x;
            words[1] = next - (x << 8);
        }
    }
}

TL_HOT void tl_expand_tokens(const int8_t *codes, uint32_t stride, uint32_t tokens, uint32_t n, uint8_t *inputs) {
    for (; tokens >= TOKENS_AT_ONCE; tokens -= TOKENS_AT_ONCE) {
        expand_four(codes, stride, n, inputs);
        codes += TOKENS_AT_ONCE * stride;
        inputs += TOKENS_AT_ONCE * TL_INPUT_BYTES(n);
    }
    for (; tokens > 0; tokens--, codes += stride, inputs += TL_INPUT_BYTES(n)) tl_expand(codes, n, inputs);
}

/* Operands of the assembly: one row of each group. */
struct rows {
    const uint8_t *weights; /* the row's first half of a word */
    const uint8_t *inputs, *inputs_end;
    int32_t *sums, *end; /* of the first token; every fourth one is this row's */
    uint32_t stride;     /* bytes from a token's sums to the next token's */
};

/* At -O0 gcc reserves r7, which the assembly needs. */
#if defined(__GNUC__) && defined(__ARM_ARCH_6M__) && defined(__OPTIMIZE__)

/* r0: h. r1: w1. r2, r3: X and Z. r5: weights. r6: inputs. r8, r7: all and upper of the first two tokens; r9, r4: of
 * the others. r10: -BIAS. r11: the inputs' end. r12, lr: sums and their end. The other operands are in the stack frame:
 * "m" is an offset from sp. adcs adds the bit that asrs shifted out last, which rounds to nearest. */
#define TOKENS(all, upper)                                                                                             \
    "ldmia r6!, {r2, r3}\n"                                                                                            \
    "muls r2, r0\n"                                                                                                    \
    "muls r3, r1\n"                                                                                                    \
    "adds r2, r2, r3\n"                                                                                                \
    "add " all ", r2\n"                                                                                                \
    "asrs r2, r2, #16\n"                                                                                               \
    "adcs " upper ", r2\n"
#define COLUMNS(at)                                                                                                    \
    "ldrh r0, [r5, #" at "]\n"                                                                                         \
    "lsrs r1, r0, #8\n"                                                                                                \
    "subs r1, #128\n"                                                                                                  \
    "add r0, r10\n" TOKENS("r8", "r7") TOKENS("r9", "r4")
#define SIXTEEN_COLUMNS                                                                                                \
    COLUMNS("0") COLUMNS("8") COLUMNS("16") COLUMNS("24") COLUMNS("32") COLUMNS("40") COLUMNS("48") COLUMNS("56")
#define BEGIN                                                                                                          \
    "ldr r5, %[weights]\n"                                                                                             \
    "ldr r0, %[bias]\n"                                                                                                \
    "mov r10, r0\n"                                                                                                    \
    "ldr r0, %[inputs_end]\n"                                                                                          \
    "mov r11, r0\n"                                                                                                    \
    "ldr r0, %[sums]\n"                                                                                                \
    "mov r12, r0\n"                                                                                                    \
    "ldr r0, %[end]\n"                                                                                                 \
    "mov lr, r0\n"                                                                                                     \
    "1:\n" /* a group */                                                                                               \
    "ldr r6, %[inputs]\n"                                                                                              \
    "movs r4, #0\n"                                                                                                    \
    "movs r7, #0\n"                                                                                                    \
    "mov r8, r7\n"                                                                                                     \
    "mov r9, r7\n"                                                                                                     \
    "2:\n"
#define STORE(all, upper)                                                                                              \
    "mov r1, " all "\n"                                                                                                \
    "lsls r2, " upper ", #16\n"                                                                                        \
    "subs r1, r1, r2\n"                                                                                                \
    "str r1, [r0]\n"                                                                                                   \
    "str " upper ", [r0, r3]\n"
#define NEXT                                                                                                           \
    "adds r0, r0, r3\n"                                                                                                \
    "adds r0, r0, r3\n"
#define AGAIN                                                                                                          \
    "adds r5, #64\n"                                                                                                   \
    "cmp r6, r11\n"                                                                                                    \
    "beq 3f\n"                                                                                                         \
    "b 2b\n"                                                                                                           \
    "3:\n"                                                                                                             \
    "mov r0, r12\n"                                                                                                    \
    "ldr r3, %[stride]\n"
#define END                                                                                                            \
    "mov r0, r12\n"                                                                                                    \
    "adds r0, #16\n"                                                                                                   \
    "mov r12, r0\n"                                                                                                    \
    "cmp r0, lr\n"                                                                                                     \
    "beq 4f\n"                                                                                                         \
    "b 1b\n"                                                                                                           \
    "4:\n"

TL_HOT static void dot(const struct rows *given) {
    struct rows rows = *given;
    const uint32_t bias = 0u - BIAS;
    __asm__ volatile(".syntax unified\n" BEGIN SIXTEEN_COLUMNS AGAIN STORE("r8", "r7") NEXT STORE("r9", "r4") END
                     :
                     : [weights] "m"(rows.weights), [inputs] "m"(rows.inputs), [inputs_end] "m"(rows.inputs_end),
                       [sums] "m"(rows.sums), [end] "m"(rows.end), [stride] "m"(rows.stride), [bias] "m"(bias)
                     : "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "lr", "cc",
                       "memory");
}

#else

TL_HOT static void dot(struct rows *rows) {
    const uint32_t stride = rows->stride / (uint32_t)sizeof *rows->sums;
    for (; rows->sums < rows->end; rows->sums += TL_GROUP_ROWS) {
        uint32_t all[TOKENS_AT_ONCE / 2u] = {0};
        int32_t upper[TOKENS_AT_ONCE / 2u] = {0};
        const uint32_t *words = (const uint32_t *)(const void *)rows->inputs;
        for (; words < (const uint32_t *)(const void *)rows->inputs_end; rows->weights += 8) {
            const uint32_t u = rows->weights[0] | (uint32_t)rows->weights[1] << 8;
            for (uint32_t pair = 0; pair < TOKENS_AT_ONCE / 2u; pair++, words += 2) {
                const uint32_t p = (u - BIAS) * words[0] + ((u >> 8) - 128u) * words[1];
                all[pair] += p;
                upper[pair] += ((int32_t)p >> 16) + (int32_t)(p >> 15 & 1u);
            }
        }
        for (uint32_t pair = 0; pair < TOKENS_AT_ONCE / 2u; pair++) {
            int32_t *sum = rows->sums + (size_t)(2u * pair) * stride;
            sum[0] = (int32_t)(all[pair] - ((uint32_t)upper[pair] << 16));
            sum[stride] = upper[pair];
        }
    }
}

#endif

TL_HOT void tl_dot_tokens(const struct tl_matrix *w, const uint8_t *inputs, uint32_t tokens, uint32_t first,
                          uint32_t last, int32_t *sums, uint32_t stride) {
    const uint32_t columns = TL_PADDED(w->columns), input_bytes = TL_INPUT_BYTES(w->columns);
    const uint8_t *weights = w->groups + (size_t)first * w->group_bytes;
    for (; first < last && tokens >= TOKENS_AT_ONCE; tokens -= TOKENS_AT_ONCE) {
        for (uint32_t row = 0; row < TL_GROUP_ROWS; row++) {
            struct rows rows = {weights + 2u * row,
                                inputs,
                                inputs + (size_t)COLUMN_BYTES * columns,
                                sums + row,
                                sums + row + (size_t)(last - first) * TL_GROUP_ROWS,
                                stride * (uint32_t)sizeof *sums};
            dot(&rows);
        }
        inputs += TOKENS_AT_ONCE * input_bytes;
        sums += TOKENS_AT_ONCE * (size_t)stride;
    }
    for (; tokens > 0; tokens--, inputs += input_bytes, sums += stride) tl_dot_groups(w, inputs, first, last, sums);
}
