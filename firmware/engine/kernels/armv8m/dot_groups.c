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
    for (uint32_t i = 0; i < n; i += STEP_COLUMNS, input += 8) {
        const uint32_t four = tl_load_word(codes + i), odd = tl_sxtb16_ror8(four);
        tl_store_word(input, odd);
        tl_store_word(input + 4, tl_ssub16((four & 0x00FF00FFu) << 8, odd));
    }
}

#if defined(TL_DSP)

/* Sums of four rows over 1 to MOST_STEPS steps; both pointers move on. The loop is sixteen steps long and is entered in
 * the middle, if their number is no multiple. */
#define LOOP_STEPS 16u
#define STEP_BYTES 56u
#define STEP                                                                                                           \
    "ldmia.w %[w]!, {r4, r5, r6, r8}\n"                                                                                \
    "ldmia.w %[x]!, {r9, r10}\n"                                                                                       \
    "smlad %[sum0], r4, r9, %[sum0]\n"                                                                                 \
    "smlad %[sum1], r5, r9, %[sum1]\n"                                                                                 \
    "smlad %[sum2], r6, r9, %[sum2]\n"                                                                                 \
    "smlad %[sum3], r8, r9, %[sum3]\n"                                                                                 \
    "sxtb16 r4, r4\n"                                                                                                  \
    "sxtb16 r5, r5\n"                                                                                                  \
    "sxtb16 r6, r6\n"                                                                                                  \
    "sxtb16 r8, r8\n"                                                                                                  \
    "smlad %[sum0], r4, r10, %[sum0]\n"                                                                                \
    "smlad %[sum1], r5, r10, %[sum1]\n"                                                                                \
    "smlad %[sum2], r6, r10, %[sum2]\n"                                                                                \
    "smlad %[sum3], r8, r10, %[sum3]\n"

static inline void dot(const uint8_t **weights, const uint8_t **input, uint32_t steps, int32_t sums[4]) {
    int32_t sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
    uint32_t loops = (steps + LOOP_STEPS - 1u) / LOOP_STEPS;
    const uint8_t *w = *weights, *x = *input;
    __asm__ volatile("add pc, %[skip]\n" /* from two bytes behind the next one */
                     "nop.n\n"
                     "1:\n"
                     ".rept 16\n" STEP ".endr\n"
                     "subs.w %[loops], %[loops], #1\n"
                     "bne.w 1b\n"
                     : [w] "+&r"(w), [x] "+&r"(x), [loops] "+&r"(loops), [sum0] "+&r"(sum0), [sum1] "+&r"(sum1),
                       [sum2] "+&r"(sum2), [sum3] "+&r"(sum3)
                     : [skip] "r"((loops * LOOP_STEPS - steps) * STEP_BYTES)
                     : "r4", "r5", "r6", "r8", "r9", "r10", "cc", "memory");
    *weights = w;
    *input = x;
    sums[0] = sum0 >> 8;
    sums[1] = sum1 >> 8;
    sums[2] = sum2 >> 8;
    sums[3] = sum3 >> 8;
}

#else

static inline void dot(const uint8_t **weights, const uint8_t **input, uint32_t steps, int32_t sums[4]) {
    int32_t sum[4] = {0, 0, 0, 0};
    for (; steps > 0; steps--, *weights += 16, *input += 8) {
        const uint32_t x = tl_load_word(*input), y = tl_load_word(*input + 4);
        for (uint32_t row = 0; row < 4; row++) {
            const uint32_t w = tl_load_word(*weights + 4 * row);
            sum[row] = tl_smlad(tl_sxtb16(w), y, tl_smlad(w, x, sum[row]));
        }
    }
    for (uint32_t row = 0; row < 4; row++) sums[row] = sum[row] >> 8;
}

#endif

void tl_dot_groups(const struct tl_matrix *w, const uint8_t *input, uint32_t first, uint32_t last, int32_t *sums) {
    const uint32_t steps = (w->columns + STEP_COLUMNS - 1u) / STEP_COLUMNS;
    const uint8_t *weights = w->groups + (size_t)first * w->group_bytes;
    for (; first < last; first++, sums += 4) {
        const uint8_t *x = input;
        dot(&weights, &x, steps < MOST_STEPS ? steps : MOST_STEPS, sums);
        for (uint32_t done = MOST_STEPS; done < steps; done += MOST_STEPS) {
            const uint32_t left = steps - done;
            int32_t more[4];
            dot(&weights, &x, left < MOST_STEPS ? left : MOST_STEPS, more);
            for (uint32_t row = 0; row < 4; row++) sums[row] += more[row];
        }
    }
}

int8_t tl_code(const struct tl_matrix *w, uint32_t row, uint32_t column) {
    const uint8_t *group = w->groups + (size_t)(row / 4u) * w->group_bytes;
    const uint8_t *half = group + column / 4u * 16u + row % 4u * 4u + (column & 2u);
    const int8_t even = (int8_t)half[0];
    return column & 1u ? (int8_t)(uint8_t)(half[1] + (even < 0)) : even;
}
