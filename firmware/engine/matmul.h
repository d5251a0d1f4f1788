/* Matrices times vectors of int8 codes. The cores share the groups of rows. */
#ifndef TL_MATMUL_H
#define TL_MATMUL_H

#include <stdint.h>

#include "kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Quantised vectors (tokens, columns): their codes, expanded together, and their scales (tokens,). */
struct tl_inputs {
    const uint8_t *expanded;
    const struct tl_scale *scales;
    uint32_t tokens;
};

/* Expands the codes (tokens, columns), `stride` bytes apart, for W (rows, columns) and for other matrices with as many
 * bits and columns. */
void tl_expand_for(const struct tl_matrix *w, const int8_t *codes, uint32_t stride, uint32_t tokens, uint8_t *expanded);

/* W (rows, columns) @ x (columns,) -> y (rows,) Q16.16. The y of a token begins at y[token * stride] and has room for
 * whole groups of rows. */
struct tl_product {
    const struct tl_matrix *w;
    int32_t *y;
    uint32_t stride;
};

/* Products with the same x that tl_matmul takes at once; the cores share all their rows. */
#define TL_PRODUCTS_AT_MOST 3u

/* Computes n products of x. x is static, so that both cores see it. */
void tl_matmul(const struct tl_product *products, uint32_t n, const struct tl_inputs *x);

/* total (rows,) += W @ x, saturated; that of a token begins at total[token * stride]. The product's y is scratch. */
void tl_matmul_add(const struct tl_product *product, const struct tl_inputs *x, int32_t *total, uint32_t stride);

/* Row `index` of W (rows, columns) -> y (columns,) Q16.16: a token's embedding. */
void tl_matrix_row(const struct tl_matrix *w, uint32_t index, int32_t *y);

#ifdef __cplusplus
}
#endif

#endif
