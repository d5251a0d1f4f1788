#include "dsp.h"
#include "kernels.h"

/* Codes that a round of the loop takes. */
#define AT_ONCE 8u

/* Whole eights of codes: (vector >> right) * scaled / 2^32, to nearest. */
TL_HOT static void quantize_eights(const int32_t *vector, uint32_t n, int32_t right, int32_t scaled, int8_t *codes) {
    const int8_t *end = codes + n;
#if defined(TL_DSP)
#define SHIFT(value) "asrs.w " value ", " value ", %[right]\n"
#define SCALE(value) "smmulr " value ", " value ", %[scaled]\n"
#define STORE(value, at) "strb.w " value ", [%[codes], #" at "]\n"
    __asm__ volatile("1:\n"
                     "ldmia.w %[vector]!, {r4, r5, r6, r8, r9, r10, r11, r12}\n" /**/
                     SHIFT("r4") SHIFT("r5") SHIFT("r6") SHIFT("r8") SHIFT("r9") SHIFT("r10") SHIFT("r11") SHIFT("r12")
                         SCALE("r4") SCALE("r5") SCALE("r6") SCALE("r8") SCALE("r9") SCALE("r10") SCALE("r11")
                             SCALE("r12") STORE("r5", "1") STORE("r6", "2") STORE("r8", "3") STORE("r9", "4")
                                 STORE("r10", "5") STORE("r11", "6") STORE("r12", "7") "strb r4, [%[codes]], #8\n"
                                                                                       "cmp %[codes], %[end]\n"
                                                                                       "bne 1b\n"
                     : [vector] "+&r"(vector), [codes] "+&r"(codes)
                     : [end] "r"(end), [right] "r"(right), [scaled] "r"(scaled)
                     : "r4", "r5", "r6", "r8", "r9", "r10", "r11", "r12", "cc", "memory");
#else
    for (; codes < end; vector++) *codes++ = (int8_t)tl_smmulr(*vector >> right, scaled);
#endif
}

/* SMMULR divides by 2^32 instead of 2^23, to nearest, ties up: the reciprocal is multiplied by 2^9, if it has room. */
TL_HOT void tl_quantize_codes(const int32_t *vector, uint32_t n, int32_t right, int32_t reciprocal, int8_t *codes) {
    uint32_t i = 0;
    if (reciprocal < 1 << 22 && n >= AT_ONCE) {
        i = n & ~(AT_ONCE - 1u);
        quantize_eights(vector, i, right, reciprocal * (1 << 9), codes);
    }
    for (; i < n; i++) codes[i] = (int8_t)(((vector[i] >> right) * reciprocal + (1 << 22)) >> 23);
}
