/* Matrices times vectors of int8 codes: the groups of rows are shared by the cores. */
#ifndef TL_MATMUL_H
#define TL_MATMUL_H

#include <stdint.h>

#include "kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Quantised vectors (columns,), one of each token: their codes, expanded together, and their scales. */
struct tl_inputs {
    const uint8_t *expanded;
    const struct tl_scale *scales;
    uint32_t tokens;
};

/* Expands the codes (columns,) of tokens, `stride` bytes apart, as W (rows, columns) and others of its width and columns
 * take them. */
void tl_expand_for(const struct tl_matrix *w, const int8_t *codes, uint32_t stride, uint32_t tokens, uint8_t *expanded);

/* W (rows, columns) @ x (columns,) -> y (rows,) Q16.16, of each token from y[token * stride] on. There is room for whole
 * groups of rows. */
struct tl_product {
    const struct tl_matrix *w;
    int32_t *y;
    uint32_t stride;
};

/* Products at once, of the same x: the cores share all their rows. */
#define TL_PRODUCTS_AT_MOST 3u

/* x is static, for both cores see it. */
void tl_matmul(const struct tl_product *products, uint32_t n, const struct tl_inputs *x);

/* total (rows,) += product, saturated, of each token from total[token * stride] on. The product's y is scratch. */
void tl_matmul_add(const struct tl_product *product, const struct tl_inputs *x, int32_t *total, uint32_t stride);

/* Row `index` of W (rows, columns) -> y (columns,) Q16.16 */
void tl_matrix_row(const struct tl_matrix *w, uint32_t index, int32_t *y);

#ifdef __cplusplus
}
#endif

#endif
