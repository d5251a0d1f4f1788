/* The softmax of a query head over its slots, and what the head gathers. docs/arithmetic.md has the bounds. */
#ifndef TL_ATTENTION_H
#define TL_ATTENTION_H

#include <stdint.h>

#include "kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What the scores of a head became: weights for V. */
struct tl_softmax {
    uint32_t total;   /* of the probabilities, Q15 */
    int32_t down;     /* a weight >> down has at most `bits` bits */
    int32_t exponent; /* of the weights >> down, for Q16.16 values */
};

/* Turns scores (slots,), which times `scale` are 2^-16 octaves, into weights: probability times the mantissa of V's
 * scale, in units of 2^top, which no exponent of v_scales (slots,) exceeds. bits: what a weight may have, at most 15. */
struct tl_softmax tl_softmax_weights(int32_t *scores, struct tl_scale scale, const uint16_t *v_scales, int32_t top,
                                     uint32_t slots, int32_t bits);

/* values (n,) = the weighted sums (n,) divided by the total, Q16.16 */
void tl_softmax_divide(struct tl_softmax softmax, const int32_t *sums, uint32_t n, int32_t *values);

#ifdef __cplusplus
}
#endif

#endif
