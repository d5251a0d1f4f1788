/* The dot products of two to five tokens: the assembly that int8 and int4 codes share, words of a row times the inputs.
 *
 * From r0 on: sums. r10, r11: one or two words of a row. The others up to r9: words of the inputs. lr: pointer to the
 * input.
 */
#ifndef TL_TOKENS_H
#define TL_TOKENS_H

#include <stdint.h>

#include "placement.h"

#define MOST_TOKENS 5u

TL_HOT static uint32_t at_once(uint32_t tokens) {
    return tokens < MOST_TOKENS ? tokens : MOST_TOKENS;
}

/* Multiplies r10 twice, then r11 twice, by the next words of the tokens: the first time with `first`, then with ADD.
 * The statements between_10 and between_11 change the registers between the two times. Each load gets as many words of
 * the inputs as there are registers for. */
#define TIMES(first, between_10, between_11, load0, times0, load1, times1, load2, times2, load3, times3)               \
    load0 times0(first, "r10") between_10 load1 times1(ADD, "r10") load2 times2(ADD, "r11") between_11 load3 times3(   \
        ADD, "r11")

#define LOAD_2 "ldmia.w lr!, {r2, r3, r4, r5, r6, r7, r8, r9}\n"
#define TOKENS_2(op, w, x0, x1) op("r0", w, x0) op("r1", w, x1)
#define TOKENS_2_0(op, w) TOKENS_2(op, w, "r2", "r3")
#define TOKENS_2_1(op, w) TOKENS_2(op, w, "r4", "r5")
#define TOKENS_2_2(op, w) TOKENS_2(op, w, "r6", "r7")
#define TOKENS_2_3(op, w) TOKENS_2(op, w, "r8", "r9")
#define TIMES_2(first, between_10, between_11)                                                                         \
    TIMES(first, between_10, between_11, LOAD_2, TOKENS_2_0, , TOKENS_2_1, , TOKENS_2_2, , TOKENS_2_3)

#define LOAD_3 "ldmia.w lr!, {r3, r4, r5, r6, r7, r8}\n"
#define TOKENS_3_0(op, w) op("r0", w, "r3") op("r1", w, "r4") op("r2", w, "r5")
#define TOKENS_3_1(op, w) op("r0", w, "r6") op("r1", w, "r7") op("r2", w, "r8")
#define TIMES_3(first, between_10, between_11)                                                                         \
    TIMES(first, between_10, between_11, LOAD_3, TOKENS_3_0, , TOKENS_3_1, LOAD_3, TOKENS_3_0, , TOKENS_3_1)

#define LOAD_4 "ldmia.w lr!, {r4, r5, r6, r7}\n"
#define TOKENS_4(op, w) op("r0", w, "r4") op("r1", w, "r5") op("r2", w, "r6") op("r3", w, "r7")
#define TIMES_4(first, between_10, between_11)                                                                         \
    TIMES(first, between_10, between_11, LOAD_4, TOKENS_4, LOAD_4, TOKENS_4, LOAD_4, TOKENS_4, LOAD_4, TOKENS_4)

#define LOAD_5 "ldmia.w lr!, {r5, r6, r7, r8, r9}\n"
#define TOKENS_5(op, w) op("r0", w, "r5") op("r1", w, "r6") op("r2", w, "r7") op("r3", w, "r8") op("r4", w, "r9")
#define TIMES_5(first, between_10, between_11)                                                                         \
    TIMES(first, between_10, between_11, LOAD_5, TOKENS_5, LOAD_5, TOKENS_5, LOAD_5, TOKENS_5, LOAD_5, TOKENS_5)

#endif
