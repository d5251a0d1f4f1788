/* The dot products of int8 codes: the parts that one token and several tokens share.
 *
 * Two columns of a row share a half of a word, h = 256 * w1 + w0. With the halves x1 and y = 256 * x0 - x1 of the
 * input, h * x1 + w0 * y = 256 * (w0 * x0 + w1 * x1): four products take SMLAD, SXTB16 and SMLAD. 16-bit halves can
 * hold h and y, because codes are within +-127.
 */
#ifndef TL_DOT_H
#define TL_DOT_H

#include "dsp.h"
#include "kernels.h"

/* A unit is eight columns: two words of a row. */
#define UNIT_COLUMNS 8u
/* Bytes of a unit: of four rows, and of an input. */
#define GROUP_UNIT 32u
#define INPUT_UNIT 16u
/* 256 times a sum must fit int32, as it does up to 520 columns: 256 * 127 * 127 * 520 < 2^31. */
#define MOST_UNITS (512u / UNIT_COLUMNS)

static inline uint32_t units_of(uint32_t columns) {
    return (columns + UNIT_COLUMNS - 1u) / UNIT_COLUMNS;
}

/* Four codes c become the halves (c1, c3) and 256 * (c0, c2) - (c1, c3), `tokens` words apart. The bytes after the
 * codes may be anything, because the weights there are zeros. */
static TL_INLINE void expand(const int8_t *codes, uint32_t n, uint32_t tokens, uint8_t *input) {
    TL_UNROLL
    for (uint32_t i = 0; i < n; i += 4u, input += 8u * tokens) {
        const uint32_t four = tl_load_word(codes + i), odd = tl_sxtb16_ror8(four);
        const uint32_t even = tl_ssub16(four << 8 & 0xFF00FF00u, odd);
        if (tokens == 1) {
            tl_store_two(input, odd, even);
        } else {
            tl_store_word(input, odd);
            tl_store_word(input + 4u * tokens, even);
        }
    }
}

/* The assembly does one unit, then a loop of LOOP_UNITS units. If the number of the other units is no multiple of that,
 * it enters the loop in the middle: left_out() units are skipped in the first round. */
#define LOOP_UNITS 8u

static inline uint32_t left_out(uint32_t units) {
    const uint32_t others = units - 1u;
    return others == 0 ? LOOP_UNITS : (0u - others) % LOOP_UNITS;
}

/* The assembly needs all registers. Its other operands are in the stack frame: "m" is an offset from sp. */
#define ALL_BUT_R0 "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "lr", "cc", "memory"
#define EVERY_REGISTER "r0", ALL_BUT_R0

/* Assembly statements: products of halves, added to a sum or beginning it; and the low bytes of halves. */
#define ADD(sum, w, x) "smlad " sum ", " w ", " x ", " sum "\n"
#define SET(sum, w, x) "smuad " sum ", " w ", " x "\n"
#define LOW(w) "sxtb16 " w ", " w "\n"

/* Enters the loop, and repeats it. other: a register that is free at this point. */
#define ENTER(other)                                                                                                   \
    "ldr.w " other ", %[skip]\n"                                                                                       \
    "add pc, " other "\n" /* pc is the address after the nop */                                                        \
    "nop.n\n"                                                                                                          \
    "2:\n"                                                                                                             \
    ".rept 8\n"
#define AGAIN(other)                                                                                                   \
    ".endr\n"                                                                                                          \
    "ldr.w " other ", %[input_end]\n"                                                                                  \
    "cmp " other ", lr\n"                                                                                              \
    "bne.w 2b\n"

#endif
