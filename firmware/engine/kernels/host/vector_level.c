#include "vector_level.h"

int tl_vector_level = TL_PORTABLE;

#if defined(TL_X86)
__attribute__((constructor)) static void find_level(void) {
    __builtin_cpu_init();
    if (__builtin_cpu_supports("sse4.1")) tl_vector_level = TL_SSE41;
    if (__builtin_cpu_supports("avx2")) tl_vector_level = TL_AVX2;
}
#endif
