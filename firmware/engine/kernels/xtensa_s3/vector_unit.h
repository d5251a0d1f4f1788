/* Whether the kernels use the chip's vector unit. */
#ifndef TL_VECTOR_UNIT_H
#define TL_VECTOR_UNIT_H

#include <stdbool.h>

/* Written by tl_kernels_start alone. */
extern bool tl_vector_unit;

#endif
