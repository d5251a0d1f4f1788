/* The intrinsics of this computer's compiler. They are not in vector_level.h, because a compiler takes longer to read
 * them than to compile a kernel. */
#ifndef TL_INTRINSICS_H
#define TL_INTRINSICS_H

#include "vector_level.h"

#if defined(TL_X86) && defined(__GNUC__) && !defined(__clang__)
/* gcc's immintrin.h also reads AVX-512, which takes five times as long as the parts below. The macro says that they are
 * read through immintrin.h, which they insist on. */
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
