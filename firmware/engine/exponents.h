/* How logits become exponents and probabilities, relative to the largest logit: steps 3 and 5 of docs/sampling.md. */
#ifndef TL_EXPONENTS_H
#define TL_EXPONENTS_H

#include <stdint.h>

#include "fixedpoint.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A Cortex-M0+ has no product of more than 32 bits, and for an Xtensa not every compiler knows one. */
#if !defined(TL_WIDE_PRODUCTS)
#if defined(__ARM_ARCH_6M__) || defined(__XTENSA__)
#define TL_WIDE_PRODUCTS 0
#else
#define TL_WIDE_PRODUCTS 1
#endif
#endif

/* The temperature's scale, and which logits are in reach. Machine code knows the offsets. */
struct tl_exponents {
    uint32_t largest;    /* the largest logit times 2^left, and 32 */
    uint32_t left;       /* 1 to 24 */
    uint32_t multiplier; /* 2^20 to 2^21; times 2^10 if there are wide products */
    int32_t farthest;    /* the least logit that is in reach: its distance to the largest times 2^left is below 2^29 */
};

/* Q16.16, of a logit in reach. */
static inline uint32_t tl_exponent(int32_t logit, const struct tl_exponents *exponents) {
    const uint32_t distance = (exponents->largest - ((uint32_t)logit << exponents->left)) >> 6;
    if (TL_WIDE_PRODUCTS) {
        return (uint32_t)((uint64_t)distance * exponents->multiplier >> 32);
    }
    /* Two parts of less than 2^32. */
    return ((distance >> 11) * exponents->multiplier + ((distance & 2047u) * exponents->multiplier >> 11)) >> 11;
}

/* Q30, of any logit: 0 if it is out of reach. */
static inline uint32_t tl_logit_probability(int32_t logit, const struct tl_exponents *exponents) {
    return logit < exponents->farthest ? 0 : tl_exp2_negative_q30(tl_exponent(logit, exponents));
}

#ifdef __cplusplus
}
#endif

#endif
