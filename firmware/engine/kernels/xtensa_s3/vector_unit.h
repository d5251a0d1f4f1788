/* Whether the kernels use the chip's vector unit. */
#ifndef TL_VECTOR_UNIT_H
#define TL_VECTOR_UNIT_H

#include <stdbool.h>

/* Written by tl_kernels_start alone. */
extern bool tl_vector_unit;

/* Whether rows of int4 codes have the sums that the portable C gives; true in a model that has none. Leaves
 * tl_vector_unit as it likes. */
bool tl_int4_rows_agree(void);

#endif
