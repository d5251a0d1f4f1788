/* Two columns of a row share the half of a word, h = 256 * w1 + w0. With the halves x1 and y = 256 * x0 - x1 of the input,
 * h * x1 + w0 * y = 256 * (w0 * x0 + w1 * x1): four products take SMLAD, SXTB16 and SMLAD. 16-bit halves hold h and y,
 * for codes are within +-127.
 */
#include <stddef.h>

#include "dsp.h"
#include "kernels.h"

/* Columns after which 256 times the sum may not fit int32: 256 * 127 * 127 * 520 < 2^31. */
#define MOST_COLUMNS 512u

/* Four columns of four rows. */
#define STEP_COLUMNS 4u
#define MOST_STEPS (MOST_COLUMNS / STEP_COLUMNS)

/* Four codes c become the halves (c1, c3) and 256 * (c0, c2) - (c1, c3). What lies behind the codes may be anything: the
 * weights there are zeros. */
void tl_expand(const int8_t *codes, uint32_t n, uint8_t *input) {
    TL_UNROLL
    for (uint32_t i = 0; i < n; i += STEP_COLUMNS, input += 8) {
        const uint32_t four = tl_load_word(codes + i), odd = tl_sxtb16_ror8(four);
        tl_store_two(input, odd, tl_ssub16(four << 8 & 0xFF00FF00u, odd));
    }
}

/* Groups of rows over 1 to MOST_STEPS steps. */
struct rows {
    const uint8_t *input;
    uint32_t loops; /* rounds of the assembly's loop, */
    uint32_t skip;  /* and bytes of code that the first leaves out */
    int32_t *sums;
    int32_t *end; /* of the sums */
};

#if defined(TL_DSP)

/* The loop is sixteen steps long, and is entered in the middle if their number is no multiple. */
#define LOOP_STEPS 16u
#define STEP_BYTES 56u
#define STEP                                                                                                           \
    "ldmia.w %[w]!, {r4, r5, r6, r8}\n"                                                                                \
    "ldmia.w %[x]!, {r9, r10}\n"                                                                                       \
    "smlad r0, r4, r9, r0\n"                                                                                           \
    "smlad r1, r5, r9, r1\n"                                                                                           \
    "smlad r2, r6, r9, r2\n"                                                                                           \
    "smlad r3, r8, r9, r3\n"                                                                                           \
    "sxtb16 r4, r4\n"                                                                                                  \
    "sxtb16 r5, r5\n"                                                                                                  \
    "sxtb16 r6, r6\n"                                                                                                  \
    "sxtb16 r8, r8\n"                                                                                                  \
    "smlad r0, r4, r10, r0\n"                                                                                          \
    "smlad r1, r5, r10, r1\n"                                                                                          \
    "smlad r2, r6, r10, r2\n"                                                                                          \
    "smlad r3, r8, r10, r3\n"

/* Where the codes end. */
static const uint8_t *dot(const uint8_t *weights, uint32_t steps, struct rows *rows) {
    const uint8_t *x;
    uint32_t loops;
    rows->loops = (steps + LOOP_STEPS - 1u) / LOOP_STEPS;
    rows->skip = (rows->loops * LOOP_STEPS - steps) * STEP_BYTES;
    __asm__ volatile("1:\n"
                     "ldrd %[x], %[loops], [%[rows]]\n"
                     "ldr r4, [%[rows], #8]\n"
                     "mov.w r0, #0\n"
                     "mov.w r1, #0\n"
                     "mov.w r2, #0\n"
                     "mov.w r3, #0\n"
                     "add pc, r4\n" /* counts from behind the nop */
                     "nop.n\n"
                     "2:\n"
                     ".rept 16\n" STEP ".endr\n"
                     "subs.w %[loops], %[loops], #1\n"
                     "bne.w 2b\n"
                     "ldrd r4, r5, [%[rows], #12]\n"
                     "asr.w r0, r0, #8\n"
                     "asr.w r1, r1, #8\n"
                     "asr.w r2, r2, #8\n"
                     "asr.w r3, r3, #8\n"
                     "stmia.w r4!, {r0, r1, r2, r3}\n"
                     "str r4, [%[rows], #12]\n"
                     "cmp r4, r5\n"
                     "bne.w 1b\n"
                     : [w] "+&r"(weights), [x] "=&r"(x), [loops] "=&r"(loops)
                     : [rows] "r"(rows)
                     : "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r8", "r9", "r10", "cc", "memory");
    return weights;
}

#else

static const uint8_t *dot(const uint8_t *weights, uint32_t steps, struct rows *rows) {
    for (; rows->sums != rows->end; rows->sums += 4) {
        const uint8_t *input = rows->input;
        int32_t sums[4] = {0, 0, 0, 0};
        for (uint32_t step = 0; step < steps; step++, weights += 16, input += 8) {
            const uint32_t x = tl_load_word(input), y = tl_load_word(input + 4);
            for (uint32_t row = 0; row < 4; row++) {
                const uint32_t w = tl_load_word(weights + 4 * row);
                sums[row] = tl_smlad(tl_sxtb16(w), y, tl_smlad(w, x, sums[row]));
            }
        }
        for (uint32_t row = 0; row < 4; row++) rows->sums[row] = sums[row] >> 8;
    }
    return weights;
}

#endif

void tl_dot_groups(const struct tl_matrix *w, const uint8_t *input, uint32_t first, uint32_t last, int32_t *sums) {
    const uint32_t steps = (w->columns + STEP_COLUMNS - 1u) / STEP_COLUMNS;
    const uint8_t *weights = w->groups + (size_t)first * w->group_bytes;
    if (first == last) return;
    if (steps <= MOST_STEPS) {
        struct rows rows = {input, 0, 0, sums, sums + 4 * (last - first)};
        (void)dot(weights, steps, &rows);
        return;
    }
    for (; first < last; first++, sums += 4) {
        for (uint32_t row = 0; row < 4; row++) sums[row] = 0;
        for (uint32_t step = 0; step < steps; step += MOST_STEPS) {
            const uint32_t left = steps - step;
            int32_t part[4];
            struct rows rows = {input + (size_t)8 * step, 0, 0, part, part + 4};
            weights = dot(weights, left < MOST_STEPS ? left : MOST_STEPS, &rows);
            for (uint32_t row = 0; row < 4; row++) sums[row] += part[row];
        }
    }
}

int32_t tl_code(const struct tl_matrix *w, uint32_t row, uint32_t column) {
    const uint8_t *group = w->groups + (size_t)(row / 4u) * w->group_bytes;
    const uint8_t *half = group + column / 4u * 16u + row % 4u * 4u + (column & 2u);
    const int8_t even = (int8_t)half[0];
    return column & 1u ? (int8_t)(uint8_t)(half[1] + (even < 0)) : even;
}
