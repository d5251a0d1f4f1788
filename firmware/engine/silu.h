/* SwiGLU's product (Shazeer, arXiv 2002.05202), the elements shared by the cores. */
#ifndef TL_SILU_H
#define TL_SILU_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* gate (n,) = silu(gate) * up of Q16.16 vectors (n,), in units of the returned power of two of Q16.16: 2^30 at most.
 * largest: becomes their largest magnitude. */
int32_t tl_silu_mul(int32_t *gate, const int32_t *up, uint32_t n, uint32_t *largest);

#ifdef __cplusplus
}
#endif

#endif
