/* Rows of the KV cache with int4 codes. Byte i of a row of n codes has code i in its lower half and code i + n / 2 in
 * its upper half. Unpacked to int8 a code is a multiple of 16 within +-112.
 */
#ifndef TL_CACHE_INT4_H
#define TL_CACHE_INT4_H

#include <stdint.h>

#include "fixedpoint.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Quantises a vector (n,) to packed codes (ceil(n / 2),), as quantize_int4 in codegen/arithmetic/vectors.py. */
struct tl_scale tl_quantize_packed_int4(const int32_t *vector, uint32_t n, int8_t *packed);

/* Unpacks rows of n codes, packed (rows, ceil(n / 2)), to int8 codes (rows, n). Both arrays are word-aligned. */
void tl_unpack_int4(const int8_t *packed, uint32_t rows, uint32_t n, int8_t *codes);

#ifdef __cplusplus
}
#endif

#endif
