/* Rows of int8 codes times a vector. */
#ifndef TL_DOT_ROWS_H
#define TL_DOT_ROWS_H

#include <stdint.h>

/* sums (count,) = codes (count, columns) @ x (columns,), with the vector unit if tl_vector_unit. Both arrays are
 * 16-byte aligned, columns is a positive multiple of 16, count is at least 1. Nothing but codes and x is read. */
void tl_dot_rows(const int8_t *codes, uint32_t count, const int8_t *x, uint32_t columns, int32_t *sums);

/* The same for any number of columns, in portable C: the reference for the vector unit. */
void tl_portable_dot_rows(const int8_t *codes, uint32_t count, const int8_t *x, uint32_t columns, int32_t *sums);

#endif
