/* The intrinsics of this computer's compiler, apart from vector_level.h: to read them takes longer than to compile a
 * kernel. */
#ifndef TL_INTRINSICS_H
#define TL_INTRINSICS_H

#include "vector_level.h"

#if defined(TL_X86) && defined(__GNUC__) && !defined(__clang__)
/* gcc's immintrin.h also reads AVX-512, which takes five times as long as these parts. They ask to be read through it. */
#define _IMMINTRIN_H_INCLUDED
#include <smmintrin.h>

#include <avxintrin.h>

#include <avx2intrin.h>
#elif defined(TL_X86)
#include <immintrin.h>
#elif defined(TL_NEON)
#include <arm_neon.h>
#endif

#endif
