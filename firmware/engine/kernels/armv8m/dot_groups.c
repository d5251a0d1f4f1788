#include "dot.h"

#include <stddef.h>

TL_HOT void tl_expand(const int8_t *codes, uint32_t n, uint8_t *input) {
    expand(codes, n, 1, input);
}

/* Operands of the assembly: groups of rows with 1 to MOST_UNITS units. */
struct rows {
    const uint8_t *input, *input_end;
    uint32_t skip; /* bytes of code that the first round of the loop skips */
    struct {
        int32_t *sums, *end;
    } to;
    const uint8_t *weights;
};

#if defined(TL_DSP)

/* r0 to r3: sums. r4 to r7: two words of two rows. r8 to r11: the input. r12: weights. lr: input. */
#define UNIT_BYTES (27u * 4u)
#define LOAD_WORDS "ldmia.w r12!, {r4, r5, r6, r7}\n"
#define TWO_ROWS(first, sum0, sum1)                                                                                    \
    LOAD_WORDS first(sum0, "r4", "r8") first(sum1, "r6", "r8") ADD(sum0, "r5", "r10") ADD(sum1, "r7", "r10") LOW("r4") \
        LOW("r6") LOW("r5") LOW("r7") ADD(sum0, "r4", "r9") ADD(sum1, "r6", "r9") ADD(sum0, "r5", "r11")               \
            ADD(sum1, "r7", "r11")
#define UNIT(first) "ldmia.w lr!, {r8, r9, r10, r11}\n" TWO_ROWS(first, "r0", "r1") TWO_ROWS(first, "r2", "r3")

#define BEGIN                                                                                                          \
    "ldr.w r12, %[weights]\n"                                                                                          \
    "1:\n" /* a group */                                                                                               \
    "ldr.w lr, %[input]\n"
#define END                                                                                                            \
    "ldrd r4, r5, %[to]\n"                                                                                             \
    "asrs r0, r0, #8\n"                                                                                                \
    "asrs r1, r1, #8\n"                                                                                                \
    "asrs r2, r2, #8\n"                                                                                                \
    "asrs r3, r3, #8\n"                                                                                                \
    "stmia r4!, {r0, r1, r2, r3}\n"                                                                                    \
    "str r4, %[to]\n"                                                                                                  \
    "cmp r4, r5\n"                                                                                                     \
    "bne.w 1b\n"

TL_HOT static void dot(const struct rows *given) {
    struct rows rows = *given;
    __asm__ volatile(
        BEGIN UNIT(SET) ENTER("r4") UNIT(ADD) AGAIN("r4") END
        : [to] "+m"(rows.to)
        : [weights] "m"(rows.weights), [input] "m"(rows.input), [input_end] "m"(rows.input_end), [skip] "m"(rows.skip)
        : EVERY_REGISTER);
}

#else

#define UNIT_BYTES 0u

TL_HOT static void dot(struct rows *rows) {
    for (; rows->to.sums != rows->to.end; rows->to.sums += 4) {
        int32_t sums[4] = {0, 0, 0, 0};
        for (const uint8_t *input = rows->input; input < rows->input_end; input += INPUT_UNIT) {
            for (uint32_t row = 0; row < 4; row++, rows->weights += 8) {
                for (uint32_t half = 0; half < 8; half += 4) {
                    const uint32_t w = tl_load_word(rows->weights + half);
                    const uint32_t x = tl_load_word(input + 2 * half), y = tl_load_word(input + 2 * half + 4);
                    sums[row] = tl_smlad(tl_sxtb16(w), y, tl_smlad(w, x, sums[row]));
                }
            }
        }
        for (uint32_t row = 0; row < 4; row++) rows->to.sums[row] = sums[row] >> 8;
    }
}

#endif

/* sums (4 * groups,) of groups over `units` units. If these are not all units of a row, groups must be 1. */
TL_HOT static void dot_units(const uint8_t *weights, const uint8_t *input, uint32_t units, uint32_t groups,
                             int32_t *sums) {
    struct rows rows = {
        input, input + INPUT_UNIT * units, UNIT_BYTES * left_out(units), {sums, sums + 4 * groups}, weights};
    dot(&rows);
}

TL_HOT void tl_dot_groups(const struct tl_matrix *w, const uint8_t *input, uint32_t first, uint32_t last,
                          int32_t *sums) {
    const uint32_t units = units_of(w->columns);
    const uint8_t *weights = w->groups + (size_t)first * w->group_bytes;
    if (first == last) return;
    if (units <= MOST_UNITS) {
        dot_units(weights, input, units, last - first, sums);
        return;
    }
    for (; first < last; first++, sums += 4) {
        for (uint32_t row = 0; row < 4; row++) sums[row] = 0;
        for (uint32_t unit = 0; unit < units; unit += MOST_UNITS) {
            const uint32_t left = units - unit, now = left < MOST_UNITS ? left : MOST_UNITS;
            int32_t part[4];
            dot_units(weights, input + (size_t)INPUT_UNIT * unit, now, 1, part);
            for (uint32_t row = 0; row < 4; row++) sums[row] += part[row];
            weights += (size_t)GROUP_UNIT * now;
        }
    }
}

TL_HOT int32_t tl_code(const struct tl_matrix *w, uint32_t row, uint32_t column) {
    const uint8_t *group = w->groups + (size_t)(row / 4u) * w->group_bytes;
    const uint8_t *half = group + column / UNIT_COLUMNS * GROUP_UNIT + row % 4u * 8u + (column & 6u);
    const int8_t even = (int8_t)half[0];
    return column & 1u ? (int8_t)(uint8_t)(half[1] + (even < 0)) : even;
}
