/* Whether the chip's vector unit does what this code takes it to do. */
#ifndef TL_VECTOR_UNIT_H
#define TL_VECTOR_UNIT_H

#include <stdbool.h>

/* Written once at the start (tl_kernels_start), by then true. */
extern bool tl_vector_unit;

#endif
