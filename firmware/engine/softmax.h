/* The steps of a head's softmax, of which each kernel set makes its loop over the slots. docs/arithmetic.md has the
 * bounds. */
#ifndef TL_SOFTMAX_H
#define TL_SOFTMAX_H

#include "kernels.h"

/* How a distance of two scores becomes octaves in Q9: (distance >> cut) * mantissa / 2^right, to nearest. */
struct tl_octaves {
    uint32_t farthest; /* any larger distance is 16 octaves or more */
    uint32_t mantissa;
    int32_t cut, right;
};

static inline struct tl_octaves tl_octaves_of(struct tl_scale scale) {
    /* From 2^reach on, a distance is surely 16 octaves: the mantissa is 2^14 at least. */
    const int32_t reach = tl_min(tl_max(6 - scale.exponent, 0), 32), cut = tl_max(reach - 16, 0);
    return (struct tl_octaves){
        reach == 32 ? UINT32_MAX : (1u << reach) - 1u,
        (uint32_t)scale.mantissa,
        cut,
        tl_min(tl_max(7 - scale.exponent - cut, 1), 31),
    };
}

/* Probability Q15 of a score so far below the highest, at most `farthest`. */
static inline uint32_t tl_probability(const struct tl_octaves *how, uint32_t distance) {
    const uint32_t octaves = ((distance >> how->cut) * how->mantissa + (1u << (how->right - 1))) >> how->right;
    return (((uint32_t)tl_softmax_table[octaves & 511u] >> (octaves >> 9)) + 1u) >> 1; /* octaves < 32 * 2^9 */
}

/* A probability times the packed scale of V, in units of 2^top: below 2^26. */
static inline int32_t tl_slot_weight(uint32_t probability, uint32_t packed, int32_t top) {
    return (int32_t)((probability * (packed & 2047u)) >> (top + TL_SCALE_EXPONENT_BIAS - (int32_t)(packed >> 11)));
}

/* What the weights of all slots leave for the sum over V. largest: of the weights */
static inline struct tl_softmax tl_softmax_of(uint32_t total, int32_t largest, int32_t top, int32_t bits) {
    /* One bit more if rounding could carry into it. */
    const int32_t down = tl_max(tl_bit_length((uint32_t)(largest + (largest >> bits))) - bits, 0);
    return (struct tl_softmax){total, down, down + top};
}

#endif
