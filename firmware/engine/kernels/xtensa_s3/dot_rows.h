/* Rows of int8 codes times a vector. */
#ifndef TL_DOT_ROWS_H
#define TL_DOT_ROWS_H

#include <stdint.h>

/* sums (count,) = codes (count, columns) @ x (columns,), with the vector unit if it may be used. Both are 16-byte aligned,
 * columns is a multiple of 16 and at least 16, count at least 1. Nothing is read but codes and x. */
void tl_dot_rows(const int8_t *codes, uint32_t count, const int8_t *x, uint32_t columns, int32_t *sums);

/* The same of any columns, in portable C: what the vector unit must give. */
void tl_portable_dot_rows(const int8_t *codes, uint32_t count, const int8_t *x, uint32_t columns, int32_t *sums);

#endif
