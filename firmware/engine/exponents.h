/* Turns logits into exponents and probabilities, relative to the largest logit: steps 3 and 5 of docs/sampling.md. */
#ifndef TL_EXPONENTS_H
#define TL_EXPONENTS_H

#include <stdint.h>

#include "fixedpoint.h"

#ifdef __cplusplus
extern "C" {
#endif

/* 1: 32 x 32 -> 64 bit products are cheap. A Cortex-M0+ has none, and not every compiler for Xtensa uses them. */
#if !defined(TL_WIDE_PRODUCTS)
#if defined(__ARM_ARCH_6M__) || defined(__XTENSA__)
#define TL_WIDE_PRODUCTS 0
#else
#define TL_WIDE_PRODUCTS 1
#endif
#endif

/* The scale of a temperature, and the logits in reach. Assembly in the kernels relies on the offsets of the fields. */
struct tl_exponents {
    uint32_t largest;    /* the largest logit times 2^left, plus 32 */
    uint32_t left;       /* 1 to 24 */
    uint32_t multiplier; /* 2^20 to 2^21; times 2^10 with TL_WIDE_PRODUCTS */
    int32_t farthest;    /* the smallest logit in reach: its distance to the largest times 2^left is below 2^29 */
};

/* The exponent of a logit in reach, Q16.16: its probability is 2^-exponent of the likeliest token's. */
static inline uint32_t tl_exponent(int32_t logit, const struct tl_exponents *exponents) {
    const uint32_t distance = (exponents->largest - ((uint32_t)logit << exponents->left)) >> 6;
    if (TL_WIDE_PRODUCTS) {
        return (uint32_t)((uint64_t)distance * exponents->multiplier >> 32);
    }
    /* The product in two parts, each below 2^32. */
    return ((distance >> 11) * exponents->multiplier + ((distance & 2047u) * exponents->multiplier >> 11)) >> 11;
}

/* The probability of any logit, Q30, relative to the likeliest token: 0 if the logit is out of reach. */
static inline uint32_t tl_logit_probability(int32_t logit, const struct tl_exponents *exponents) {
    return logit < exponents->farthest ? 0 : tl_exp2_negative_q30(tl_exponent(logit, exponents));
}

#ifdef __cplusplus
}
#endif

#endif
