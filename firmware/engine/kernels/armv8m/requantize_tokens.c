#include <stddef.h>

#include "dsp.h"
#include "high_product.h"
#include "kernels.h"

/* Rows that a round of the loop takes. */
#define AT_ONCE 8u

/* Whole eights of rows: (values << up) * (mantissa * scaled) / 2^32, to nearest. */
TL_HOT static void requantize_eights(int32_t *values, const uint16_t *mantissa, uint32_t n, int32_t scaled,
                                     int32_t up) {
    const int32_t *end = values + n;
#if defined(TL_DSP)
#define ROW(value, at)                                                                                                 \
    "ldrh.w r4, [%[mantissa], #" at "]\n"                                                                              \
    "lsl.w " value ", " value ", %[up]\n"                                                                              \
    "mul r4, r4, %[scaled]\n"                                                                                          \
    "smmulr " value ", " value ", r4\n"
#define FOUR(at0, at1, at2, at3)                                                                                       \
    "ldmia.w %[values], {r5, r6, r8, r9}\n" ROW("r5", at0) ROW("r6", at1) ROW("r8", at2)                               \
        ROW("r9", at3) "stmia.w %[values]!, {r5, r6, r8, r9}\n"
    __asm__ volatile("1:\n" FOUR("0", "2", "4", "6")
                         FOUR("8", "10", "12", "14") "adds.w %[mantissa], %[mantissa], #16\n"
                                                     "cmp %[values], %[end]\n"
                                                     "bne 1b\n"
                     : [values] "+&r"(values), [mantissa] "+&r"(mantissa)
                     : [end] "r"(end), [scaled] "r"(scaled), [up] "r"(up)
                     : "r4", "r5", "r6", "r8", "r9", "cc", "memory");
#else
    for (; values < end; values++) *values = tl_smmulr((int32_t)((uint32_t)*values << up), *mantissa++ * scaled);
#endif
}

/* As tl_requantize_rows, but without a check of each value: `most` says whether all can be shifted left. */
TL_HOT void tl_requantize_tokens(int32_t *values, uint32_t stride, uint32_t tokens, const uint16_t *mantissa,
                                 uint32_t n, const struct tl_scale *scales, int32_t exponent, int32_t most) {
    for (uint32_t t = 0; t < tokens; t++, values += stride) {
        const int32_t multiplier = scales[t].mantissa, right = -(exponent + scales[t].exponent);
        const struct tl_high_product how = tl_high_product(multiplier, right);
        uint32_t done = 0;
        if (how.fits && most <= INT32_MAX >> how.up && n >= AT_ONCE) {
            done = n & ~(AT_ONCE - 1u);
            requantize_eights(values, mantissa, done, how.scaled, how.up);
        }
        if (done < n) tl_requantize_rows(values + done, mantissa + done, n - done, multiplier, right);
    }
}
