#include "dsp.h"
#include "kernels.h"

/* Numbers that a round of the loop takes. */
#define AT_ONCE 4u

/* Whole fours of numbers, shifted right. A word holds two of them: SMLALD adds both squares, SMULBB and SMULTT multiply
 * them by the two gains in another word. The larger of two numbers is found without a branch. */
TL_HOT static int32_t gain_fours(const int32_t *x, const int16_t *gain, uint32_t n, int32_t down, int32_t *products,
                                 uint64_t *squares) {
    const int32_t *end = products + n;
    int32_t largest = 0;
#if defined(TL_DSP)
#define LARGER(value)                                                                                                  \
    "eor %[pair], " value ", " value ", asr #31\n"                                                                     \
    "sub %[pair], %[pair], " value ", asr #31\n"                                                                       \
    "sub %[pair], %[pair], %[largest]\n"                                                                               \
    "usat %[pair], #31, %[pair]\n"                                                                                     \
    "add %[largest], %[largest], %[pair]\n"
    uint32_t low = (uint32_t)*squares, high = (uint32_t)(*squares >> 32), pair, gains;
    int32_t first, second;
    __asm__ volatile("1:\n"
                     ".rept 2\n"
                     "ldrd %[first], %[second], [%[x]], #8\n"
                     "ldr %[gains], [%[gain]], #4\n"
                     "asr %[first], %[first], %[down]\n"
                     "asr %[second], %[second], %[down]\n"
                     "pkhbt %[pair], %[first], %[second], lsl #16\n"
                     "smlald %[low], %[high], %[pair], %[pair]\n"
                     "smulbb %[first], %[pair], %[gains]\n"
                     "smultt %[second], %[pair], %[gains]\n"
                     "strd %[first], %[second], [%[products]], #8\n" /**/
                     LARGER("%[first]") LARGER("%[second]") ".endr\n"
                                                            "cmp %[products], %[end]\n"
                                                            "bne 1b\n"
                     : [x] "+&r"(x), [gain] "+&r"(gain), [products] "+&r"(products), [low] "+&r"(low),
                       [high] "+&r"(high), [largest] "+&r"(largest), [first] "=&r"(first), [second] "=&r"(second),
                       [pair] "=&r"(pair), [gains] "=&r"(gains)
                     : [end] "r"(end), [down] "r"(down)
                     : "cc", "memory");
    *squares = (uint64_t)high << 32 | low;
#else
    for (; products < end; x++) {
        const int32_t shifted = *x >> down;
        *squares += (uint32_t)(shifted * shifted);
        *products = shifted * *gain++;
        largest = tl_max(largest, (int32_t)tl_magnitude(*products++));
    }
#endif
    return largest;
}

TL_HOT uint32_t tl_gain_products(const int32_t *x, const int16_t *gain, uint32_t n, int32_t down, int32_t *products,
                                 uint64_t *squares) {
    uint32_t i = 0;
    int32_t largest = 0;
    if (down >= 0 && n >= AT_ONCE) {
        i = n & ~(AT_ONCE - 1u);
        largest = gain_fours(x, gain, i, down, products, squares);
    }
    for (; i < n; i++) {
        const int32_t shifted = tl_shift(x[i], down);
        *squares += (uint32_t)(shifted * shifted);
        products[i] = shifted * gain[i];
        largest = tl_max(largest, (int32_t)tl_magnitude(products[i]));
    }
    return (uint32_t)largest;
}
