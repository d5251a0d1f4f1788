/* Matrices times vectors of int8 codes: the groups of rows are shared by the cores. */
#ifndef TL_MATMUL_H
#define TL_MATMUL_H

#include <stdint.h>

#include "kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* W (rows, columns) @ x (columns,) -> y (rows,) Q16.16. input: the codes of x, expanded; scale: of x */
void tl_matmul(const struct tl_matrix *w, const uint8_t *input, struct tl_scale scale, int32_t *y);

/* y (rows,) += W (rows, columns) @ x (columns,), saturated */
void tl_matmul_add(const struct tl_matrix *w, const uint8_t *input, struct tl_scale scale, int32_t *y);

/* Row `index` of W (rows, columns) -> y (columns,) Q16.16 */
void tl_matrix_row(const struct tl_matrix *w, uint32_t index, int32_t *y);

#ifdef __cplusplus
}
#endif

#endif
