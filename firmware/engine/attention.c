#include "attention.h"

#include "placement.h"

TL_HOT void tl_softmax_divide(struct tl_softmax softmax, const int32_t *sums, uint32_t n, int32_t *values) {
    /* The total is cut to 16 bits, so its reciprocal has 17. */
    const int32_t down = tl_bit_length(softmax.total) - 16;
    const int32_t inverse = (int32_t)(0x80000000u / (softmax.total >> down));
    tl_requantize_vector(sums, n, inverse, 31 + down - softmax.exponent, values);
}
