/* A row's words are multiplied by the inputs of up to five tokens, which share the loads of the words and their low
 * bytes. There are no registers for more sums. The tokens' inputs are interleaved: the first word of each token, then
 * the second word of each.
 */
#include <stddef.h>

#include "dot.h"
#include "tokens.h"

TL_HOT void tl_expand_tokens(const int8_t *codes, uint32_t stride, uint32_t tokens, uint32_t n, uint8_t *inputs) {
    for (uint32_t now; tokens > 0; tokens -= now, inputs += now * TL_INPUT_BYTES(n)) {
        now = at_once(tokens);
        for (uint32_t t = 0; t < now; t++, codes += stride) expand(codes, n, now, inputs + 4u * t);
    }
}

/* Operands of the assembly: row 0 of each group over 1 to MOST_UNITS units, then row 1 of each, up to row 3. */
struct rows {
    const uint8_t *weights, *input, *input_end;
    uint32_t skip; /* bytes of code that the first round of the loop skips */
    struct {
        int32_t *sums;
        uint32_t stride; /* bytes from a token's sums to the next token's */
    } to;
    int32_t *end; /* of the first token's sums */
    struct {
        int32_t weights, sums; /* bytes from the end of one row to the start of the next */
    } next;
    uint32_t left; /* rows that are left */
};

#if defined(TL_DSP)

/* From r0 on: sums. r10, r11: two words of a row. The others up to r9: words of the inputs. r12: pointer to weights.
 * lr: pointer to the input. At the end r5 is the pointer to sums, r6 the stride, r7 their sum. */
#define STORE_0 "str r0, [r5], #16\n"
#define STORE_1 "str r1, [r5, r6]\n"
#define STORE_2 "str.w r2, [r5, r6, lsl #1]\n"
#define STORE_3                                                                                                        \
    "add r7, r5, r6\n"                                                                                                 \
    "str.w r3, [r7, r6, lsl #1]\n"
#define STORE_4 "str.w r4, [r5, r6, lsl #2]\n"

/* A unit: two words of a row times the inputs. */
#define WORDS "ldrd r10, r11, [r12], #32\n"
#define UNIT_2(first) WORDS TIMES_2(first, LOW("r10"), LOW("r11"))
#define UNIT_3(first) WORDS TIMES_3(first, LOW("r10"), LOW("r11"))
#define UNIT_4(first) WORDS TIMES_4(first, LOW("r10"), LOW("r11"))
#define UNIT_5(first) WORDS TIMES_5(first, LOW("r10"), LOW("r11"))

#define SHIFT(sum) "asrs " sum ", " sum ", #8\n"
#define SHIFT_2 SHIFT("r0") SHIFT("r1")
#define SHIFT_3 SHIFT_2 SHIFT("r2")
#define SHIFT_4 SHIFT_3 SHIFT("r3")
#define SHIFT_5 SHIFT_4 SHIFT("r4")

#define BEGIN                                                                                                          \
    "ldr.w r12, %[weights]\n"                                                                                          \
    "1:\n" /* a row of a group */                                                                                      \
    "ldr.w lr, %[input]\n"
#define TO "ldrd r5, r6, %[to]\n"
#define END                                                                                                            \
    "ldr r6, %[end]\n"                                                                                                 \
    "str r5, %[to]\n"                                                                                                  \
    "cmp r5, r6\n"                                                                                                     \
    "bne.w 1b\n"                                                                                                       \
    "ldrd r8, r9, %[next]\n"                                                                                           \
    "ldr r7, %[left]\n"                                                                                                \
    "add r12, r8\n"                                                                                                    \
    "add r5, r9\n"                                                                                                     \
    "adds r6, #4\n"                                                                                                    \
    "str r5, %[to]\n"                                                                                                  \
    "str r6, %[end]\n"                                                                                                 \
    "subs r7, #1\n"                                                                                                    \
    "str r7, %[left]\n"                                                                                                \
    "bne.w 1b\n"
#define DEFINE_DOT(tokens, store)                                                                                      \
    static void dot_##tokens(const struct rows *given) {                                                               \
        struct rows rows = *given;                                                                                     \
        __asm__ volatile(BEGIN UNIT_##tokens(SET) ENTER("r5") UNIT_##tokens(ADD) AGAIN("r5")                           \
                             TO SHIFT_##tokens store END                                                               \
                         : [to] "+m"(rows.to), [end] "+m"(rows.end), [left] "+m"(rows.left)                            \
                         : [weights] "m"(rows.weights), [input] "m"(rows.input), [input_end] "m"(rows.input_end),      \
                           [skip] "m"(rows.skip), [next] "m"(rows.next)                                                \
                         : EVERY_REGISTER);                                                                            \
    }

/* Only five tokens run from RAM: fewer occur only at the end of a prompt. */
TL_HOT static void dot_5(const struct rows *given);

DEFINE_DOT(2, STORE_1 STORE_0)
DEFINE_DOT(3, STORE_1 STORE_2 STORE_0)
DEFINE_DOT(4, STORE_1 STORE_2 STORE_3 STORE_0)
DEFINE_DOT(5, STORE_1 STORE_2 STORE_3 STORE_4 STORE_0)

/* For 2 to 5 tokens: the number of instructions of a unit, each of four bytes, and the function. */
static const struct {
    uint32_t unit;
    void (*dot)(const struct rows *rows);
} dots[] = {{12, dot_2}, {17, dot_3}, {23, dot_4}, {27, dot_5}};

TL_HOT static void dot(struct rows *rows, uint32_t tokens, uint32_t units) {
    rows->skip = left_out(units) * dots[tokens - 2u].unit * 4u;
    dots[tokens - 2u].dot(rows);
}

#else

TL_HOT static void dot(struct rows *rows, uint32_t tokens, uint32_t units) {
    (void)units;
    for (; rows->left > 0; rows->left--) {
        for (; rows->to.sums != rows->end; rows->to.sums += 4) {
            int32_t sums[MOST_TOKENS] = {0};
            for (const uint8_t *input = rows->input; input < rows->input_end; rows->weights += GROUP_UNIT) {
                for (uint32_t half = 0; half < 8; half += 4, input += 8 * tokens) {
                    const uint32_t w = tl_load_word(rows->weights + half);
                    for (uint32_t t = 0; t < tokens; t++) {
                        const uint32_t x = tl_load_word(input + 4 * t), y = tl_load_word(input + 4 * (tokens + t));
                        sums[t] = tl_smlad(tl_sxtb16(w), y, tl_smlad(w, x, sums[t]));
                    }
                }
            }
            for (uint32_t t = 0; t < tokens; t++) rows->to.sums[t * rows->to.stride / sizeof(int32_t)] = sums[t] >> 8;
        }
        rows->weights += rows->next.weights;
        rows->to.sums += rows->next.sums / (int32_t)sizeof(int32_t);
        rows->end++;
    }
}

#endif

/* sums (tokens, stride) of 2 to 5 tokens, from groups over `units` units. */
TL_HOT static void dot_units(const uint8_t *weights, const uint8_t *input, uint32_t tokens, uint32_t units,
                             uint32_t groups, int32_t *sums, uint32_t stride) {
    struct rows rows = {weights,
                        input,
                        input + (size_t)INPUT_UNIT * tokens * units,
                        0,
                        {sums, stride * (uint32_t)sizeof *sums},
                        sums + 4 * groups,
                        {8 - (int32_t)(GROUP_UNIT * units * groups), 4 - (int32_t)(4 * sizeof *sums * groups)},
                        TL_GROUP_ROWS};
    dot(&rows, tokens, units);
}

/* One group over any number of units. */
TL_HOT static void dot_long(const uint8_t *weights, const uint8_t *input, uint32_t tokens, uint32_t units,
                            int32_t *sums, uint32_t stride) {
    int32_t part[MOST_TOKENS][4];
    for (uint32_t unit = 0; unit < units; unit += MOST_UNITS) {
        const uint32_t left = units - unit, now = left < MOST_UNITS ? left : MOST_UNITS;
        dot_units(weights + (size_t)GROUP_UNIT * unit, input + (size_t)INPUT_UNIT * tokens * unit, tokens, now, 1,
                  part[0], 4);
        for (uint32_t t = 0; t < tokens; t++) {
            for (uint32_t row = 0; row < 4; row++) {
                int32_t *sum = sums + (size_t)t * stride + row;
                *sum = part[t][row] + (unit == 0 ? 0 : *sum);
            }
        }
    }
}

TL_HOT void tl_dot_tokens(const struct tl_matrix *w, const uint8_t *inputs, uint32_t tokens, uint32_t first,
                          uint32_t last, int32_t *sums, uint32_t stride) {
    const uint32_t units = units_of(w->columns), input_bytes = TL_INPUT_BYTES(w->columns);
    if (first == last) return;
    for (uint32_t now; tokens > 0; tokens -= now, inputs += now * input_bytes, sums += (size_t)now * stride) {
        now = at_once(tokens);
        if (now == 1) {
            tl_dot_groups(w, inputs, first, last, sums);
        } else if (units <= MOST_UNITS) {
            dot_units(w->groups + (size_t)first * w->group_bytes, inputs, now, units, last - first, sums, stride);
        } else {
            for (uint32_t group = first; group < last; group++) {
                dot_long(w->groups + (size_t)group * w->group_bytes, inputs, now, units, sums + 4 * (group - first),
                         stride);
            }
        }
    }
}
