/* Dot products of one vector with many rows: the core of matmuls and attention scores. */
#ifndef TL_DOTS_H
#define TL_DOTS_H

#include <stddef.h>
#include <stdint.h>

/* sums (count,) = rows (count, n) @ x (n,), of codes within +-127. The rows are `stride` bytes apart, and 16 readable
 * bytes follow the last one. */
void tl_dots(const int8_t *x, const int8_t *rows, size_t stride, uint32_t n, uint32_t count, int32_t *sums);

#endif
