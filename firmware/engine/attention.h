/* The last step of a head's attention. docs/arithmetic.md has the bounds. */
#ifndef TL_ATTENTION_H
#define TL_ATTENTION_H

#include <stdint.h>

#include "kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* values (n,) Q16.16 = sums (n,) / softmax.total. sums: weights @ V, as tl_mix_rows gives it. */
void tl_softmax_divide(struct tl_softmax softmax, const int32_t *sums, uint32_t n, int32_t *values);

#ifdef __cplusplus
}
#endif

#endif
