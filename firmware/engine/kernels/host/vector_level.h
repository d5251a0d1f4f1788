/* The vector instructions of this computer. On an x86 the level is found when the program starts; every AArch64 has
 * NEON.
 *
 * A kernel is compiled once for each level that the compiler knows: kernel_avx2, kernel_sse41 and kernel_portable, or
 * only kernel_neon. At -O3 compilers vectorise plain C for each level.
 */
#ifndef TL_VECTOR_LEVEL_H
#define TL_VECTOR_LEVEL_H

enum { TL_PORTABLE, TL_SSE41, TL_AVX2 };

/* The highest level of this computer; tests lower it. */
extern int tl_vector_level;

#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))

#define TL_X86
#define TL_TARGET_SSE41 __attribute__((target("sse4.1")))
#define TL_TARGET_AVX2 __attribute__((target("avx2")))
#define TL_INLINE static inline __attribute__((always_inline))

/* Calls the kernel of the current level. */
#define TL_AT_LEVEL(kernel, arguments)                                                                                 \
    (tl_vector_level == TL_AVX2    ? kernel##_avx2 arguments                                                           \
     : tl_vector_level == TL_SSE41 ? kernel##_sse41 arguments                                                          \
                                   : kernel##_portable arguments)

/* Compiles an inline kernel in plain C for each level. */
#define TL_FOR_EACH_LEVEL(kernel, parameters, arguments)                                                               \
    TL_TARGET_AVX2 static void kernel##_avx2 parameters {                                                              \
        kernel arguments;                                                                                              \
    }                                                                                                                  \
    TL_TARGET_SSE41 static void kernel##_sse41 parameters {                                                            \
        kernel arguments;                                                                                              \
    }                                                                                                                  \
    static void kernel##_portable parameters {                                                                         \
        kernel arguments;                                                                                              \
    }

#elif defined(__aarch64__) && defined(__ARM_NEON)

#define TL_NEON
#define TL_INLINE static inline
#define TL_AT_LEVEL(kernel, arguments) kernel##_neon arguments
#define TL_FOR_EACH_LEVEL(kernel, parameters, arguments)                                                               \
    static void kernel##_neon parameters {                                                                             \
        kernel arguments;                                                                                              \
    }

#else

#define TL_INLINE static inline
#define TL_AT_LEVEL(kernel, arguments) kernel##_portable arguments
#define TL_FOR_EACH_LEVEL(kernel, parameters, arguments)                                                               \
    static void kernel##_portable parameters {                                                                         \
        kernel arguments;                                                                                              \
    }

#endif

#endif
