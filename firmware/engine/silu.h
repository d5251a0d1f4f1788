/* The product in SwiGLU (Shazeer, arXiv 2002.05202). The cores share the elements. */
#ifndef TL_SILU_H
#define TL_SILU_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* gate (n,) = silu(gate) * up, of Q16.16 vectors (n,). The result is in units of 2^returned of Q16.16. *largest becomes
 * its largest magnitude, 2^30 at most. */
int32_t tl_silu_mul(int32_t *gate, const int32_t *up, uint32_t n, uint32_t *largest);

#ifdef __cplusplus
}
#endif

#endif
