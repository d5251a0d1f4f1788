/* Whether the kernels use the chip's vector unit. */
#ifndef TL_VECTOR_UNIT_H
#define TL_VECTOR_UNIT_H

#include <stdbool.h>

/* Set by tl_kernels_start. */
extern bool tl_vector_unit;

/* Whether the sums of int4 rows are those of the portable C; true for a model without int4 matrices. Changes
 * tl_vector_unit. */
bool tl_int4_rows_agree(void);

#endif
