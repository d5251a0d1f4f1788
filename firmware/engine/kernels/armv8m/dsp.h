/* The DSP instructions of Armv8-M that the kernels use, and the same functions in plain C.
 *
 * "Halves" are two int16 in a word. Sums wrap around.
 */
#ifndef TL_DSP_H
#define TL_DSP_H

#include <stdint.h>
#include <string.h>

/* At -O0 gcc reserves registers that the kernels' assembly needs. */
#if defined(__ARM_FEATURE_DSP) && defined(__thumb2__) && defined(__OPTIMIZE__)
#define TL_DSP
#endif

/* Always inlined, so that a loop is compiled separately for constant arguments. */
#if defined(__GNUC__)
#define TL_INLINE inline __attribute__((always_inline))
#else
#define TL_INLINE inline
#endif

static inline uint32_t tl_load_word(const void *at) {
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static inline void tl_store_word(void *at, uint32_t word) {
    memcpy(at, &word, sizeof word);
}

#if defined(TL_DSP)

/* Defines a function of one or two words by its instruction. */
#define TL_DSP_2(name, instruction)                                                                                    \
    static inline uint32_t name(uint32_t a, uint32_t b) {                                                              \
        uint32_t result;                                                                                               \
        __asm__(instruction : "=r"(result) : "r"(a), "r"(b));                                                          \
        return result;                                                                                                 \
    }
#define TL_DSP_1(name, instruction)                                                                                    \
    static inline uint32_t name(uint32_t a) {                                                                          \
        uint32_t result;                                                                                               \
        __asm__(instruction : "=r"(result) : "r"(a));                                                                  \
        return result;                                                                                                 \
    }

TL_DSP_1(tl_uxtb16, "uxtb16 %0, %1")
TL_DSP_1(tl_sxtb16, "sxtb16 %0, %1")
TL_DSP_1(tl_sxtb16_ror8, "sxtb16 %0, %1, ror #8")
TL_DSP_2(tl_pkhbt, "pkhbt %0, %1, %2, lsl #16")
TL_DSP_2(tl_pkhtb, "pkhtb %0, %2, %1, asr #16")
TL_DSP_2(tl_ssub16, "ssub16 %0, %1, %2")

/* Stores two words at a word-aligned address. */
static inline void tl_store_two(void *at, uint32_t first, uint32_t second) {
    __asm__ volatile("strd %1, %2, [%0]" : : "r"(at), "r"(first), "r"(second) : "memory");
}

static inline int32_t tl_smuad(uint32_t a, uint32_t b) {
    int32_t result;
    __asm__("smuad %0, %1, %2" : "=r"(result) : "r"(a), "r"(b));
    return result;
}

static inline int32_t tl_smlad(uint32_t a, uint32_t b, int32_t sum) {
    int32_t result;
    __asm__("smlad %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
    return result;
}

static inline int32_t tl_smmulr(int32_t a, int32_t b) {
    int32_t result;
    __asm__("smmulr %0, %1, %2" : "=r"(result) : "r"(a), "r"(b));
    return result;
}

#else

static inline int32_t tl_low(uint32_t halves) {
    return (int16_t)(uint16_t)halves;
}

static inline int32_t tl_high(uint32_t halves) {
    return (int16_t)(uint16_t)(halves >> 16);
}

static inline uint32_t tl_halves(int32_t low, int32_t high) {
    return ((uint32_t)low & 0xFFFFu) | (uint32_t)high << 16;
}

static inline void tl_store_two(void *at, uint32_t first, uint32_t second) {
    tl_store_word(at, first);
    tl_store_word((uint8_t *)at + 4, second);
}

/* Bytes 0 and 2 as halves, zero-extended. */
static inline uint32_t tl_uxtb16(uint32_t a) {
    return a & 0x00FF00FFu;
}

/* Bytes 0 and 2 as halves, sign-extended. */
static inline uint32_t tl_sxtb16(uint32_t a) {
    return tl_halves((int8_t)(uint8_t)a, (int8_t)(uint8_t)(a >> 16));
}

/* Bytes 1 and 3 as halves, sign-extended. */
static inline uint32_t tl_sxtb16_ror8(uint32_t a) {
    return tl_sxtb16(a >> 8);
}

/* The low halves of a and b. */
static inline uint32_t tl_pkhbt(uint32_t a, uint32_t b) {
    return (a & 0xFFFFu) | b << 16;
}

/* The high halves of a and b. */
static inline uint32_t tl_pkhtb(uint32_t a, uint32_t b) {
    return a >> 16 | (b & 0xFFFF0000u);
}

static inline uint32_t tl_ssub16(uint32_t a, uint32_t b) {
    return tl_halves(tl_low(a) - tl_low(b), tl_high(a) - tl_high(b));
}

/* sum + the products of the low and of the high halves */
static inline int32_t tl_smlad(uint32_t a, uint32_t b, int32_t sum) {
    return (int32_t)((uint32_t)sum + (uint32_t)(tl_low(a) * tl_low(b)) + (uint32_t)(tl_high(a) * tl_high(b)));
}

static inline int32_t tl_smuad(uint32_t a, uint32_t b) {
    return tl_smlad(a, b, 0);
}

/* a * b / 2^32 to nearest, ties up */
static inline int32_t tl_smmulr(int32_t a, int32_t b) {
    return (int32_t)(((int64_t)a * b + (1LL << 31)) >> 32);
}

#endif

#endif
