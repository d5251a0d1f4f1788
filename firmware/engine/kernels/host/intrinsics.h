/* The intrinsics of this computer's compiler, apart from vector_level.h: to read them takes longer than to compile a
 * kernel. */
#ifndef TL_INTRINSICS_H
#define TL_INTRINSICS_H

#include "vector_level.h"

#if defined(TL_X86)
#include <immintrin.h>
#elif defined(TL_NEON)
#include <arm_neon.h>
#endif

#endif
