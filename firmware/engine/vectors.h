/* The primitives on whole vectors, bit for bit those of codegen/arithmetic/vectors.py.
 *
 * Real-valued vectors are Q16.16 int32. A quantised vector is int8 codes and one scale:
 * value = code * mantissa * 2^exponent.
 */
#ifndef TL_VECTORS_H
#define TL_VECTORS_H

#include <stdint.h>

#include "fixedpoint.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The number of bits of the largest magnitude in a vector (n,). */
int32_t tl_magnitude_bits(const int32_t *vector, uint32_t n);

/* The largest magnitude in a vector (n,). */
uint32_t tl_largest(const int32_t *vector, uint32_t n);

/* Quantises a vector (n,) to codes (n,). The scale counts in units of the vector. */
struct tl_scale tl_quantize_int8(const int32_t *vector, uint32_t n, int8_t *codes);

/* The same for a vector whose largest magnitude is known. */
struct tl_scale tl_quantize_to(const int32_t *vector, uint32_t n, uint32_t largest, int8_t *codes);

/* RMSNorm of x (n,) Q16.16 with an int16 gain (n,), quantised to codes (n,); products (n,) is scratch. */
struct tl_scale tl_rmsnorm_int8(const int32_t *x, const int16_t *gain, uint32_t n, uint64_t epsilon, int32_t *products,
                                int8_t *codes);

/* Rotary position embedding (RoPE) of one head (n,) Q16.16: elements i and i + half are a pair, i < half; cosine, sine
 * (half,) Q15. Elements from 2 half on are not rotated. turned (n,) is in units of 2^returned of Q16.16. */
int32_t tl_rotate(const int32_t *head, uint32_t n, const int16_t *cosine, const int16_t *sine, uint32_t half,
                  int32_t *turned);

/* y (n,) += bias (n,), saturated */
void tl_add_q16(int32_t *y, const int32_t *bias, uint32_t n);

#ifdef __cplusplus
}
#endif

#endif
