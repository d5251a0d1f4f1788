/* The typed kernels that an emitted model calls: int8 in, int32 sums, Q16.16 out.
 *
 * codegen/arithmetic/integer_forward.py says what each must give; sums may run in any order, so a chip may have its own
 * version.
 */
#ifndef TL_KERNELS_H
#define TL_KERNELS_H

#include <stdint.h>

#include "fixedpoint.h"

#ifdef __cplusplus
extern "C" {
#endif

/* W (rows, columns): value = codes[r * stride + c] * mantissa[r] * 2^exponent. Rows are padded with zeros to the stride,
 * a multiple of 16 bytes, and start 16-byte aligned; 16 readable bytes follow the last one. */
struct tl_matrix {
    const int8_t *codes;
    const uint16_t *mantissa;
    uint32_t rows;
    uint32_t columns;
    uint32_t stride;
    int32_t exponent;
};

/* sum of a[i] * b[i], n <= 133144 so that int32 cannot overflow */
int32_t tl_dot_s8s8(const int8_t *a, const int8_t *b, uint32_t n);

/* W (rows, columns) @ x (columns,) -> y (rows,) Q16.16 */
void tl_matmul_s8s8_q16(const struct tl_matrix *w, const int8_t *x, struct tl_scale scale, int32_t *y);

/* y (rows,) += W (rows, columns) @ x (columns,), saturated */
void tl_matmul_add_s8s8_q16(const struct tl_matrix *w, const int8_t *x, struct tl_scale scale, int32_t *y);

/* Row `index` of W (rows, columns) -> y (columns,) Q16.16 */
void tl_row_s8_q16(const struct tl_matrix *w, uint32_t index, int32_t *y);

/* y (n,) += bias (n,), saturated */
void tl_add_q16(int32_t *y, const int32_t *bias, uint32_t n);

/* gate (n,) = silu(gate) * up, Q16.16 */
void tl_silu_mul_q16(int32_t *gate, const int32_t *up, uint32_t n);

/* scores[t] for first <= t < last: q (n,) . k[t] (n,) * scale * scale of k[t], Q16.16.
 * k (slots, n), k_scale (slots,) packed */
void tl_attention_scores(const int8_t *q, struct tl_scale scale, const int8_t *k, const uint16_t *k_scale,
                         uint32_t first, uint32_t last, uint32_t n, int32_t *scores);

/* The softmax of one head: total of the probabilities and the exponent of the weights. */
struct tl_softmax {
    uint32_t total;   /* of the probabilities, Q15 */
    int32_t exponent; /* of the weights, for Q16.16 values */
};

/* scores (slots,) become int32 weights of at most `bits` bits: probability times the scale of V at that slot. */
struct tl_softmax tl_attention_weights(int32_t *scores, const uint16_t *v_scale, uint32_t slots, int32_t bits);

/* out (n,) Q16.16 = weights (slots,) @ v (slots, n) / total */
void tl_attention_mix(const int32_t *weights, struct tl_softmax softmax, const int8_t *v, uint32_t slots, uint32_t n,
                      int32_t *out);

#ifdef __cplusplus
}
#endif

#endif
