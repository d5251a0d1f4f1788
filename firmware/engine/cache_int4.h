/* Rows of the KV cache with int4 codes: byte i has code i in its lower half, and in its upper half the code that comes half
 * of them later. As int8 a code is a multiple of 16 within +-112.
 */
#ifndef TL_CACHE_INT4_H
#define TL_CACHE_INT4_H

#include <stdint.h>

#include "fixedpoint.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Quantise a vector (n,) to packed codes; mirrors quantize_int4 in codegen/arithmetic/vectors.py. */
struct tl_scale tl_quantize_packed_int4(const int32_t *vector, uint32_t n, int8_t *packed);

/* Packed rows of n codes, one after another, become int8 codes (rows, n); both begin at a word. */
void tl_unpack_int4(const int8_t *packed, uint32_t rows, uint32_t n, int8_t *codes);

#ifdef __cplusplus
}
#endif

#endif
